"""Tables computed from rows: frames, comparisons, leaderboard, documents, exports. Only here is pandas."""

"""Runs made of chosen counts, for every test of this room."""

from tests.support.chosen_counts import evaluated, make_run, store

__all__ = ["evaluated", "make_run", "store"]

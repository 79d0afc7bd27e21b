"""Runs on disk: typed rows, run folders, the store of them, their evaluations, what comes from elsewhere."""

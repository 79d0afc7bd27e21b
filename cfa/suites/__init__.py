"""Suites: tables of the literature, or of ours, as files that anyone can plan, run and report again."""

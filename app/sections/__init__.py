"""Sections of pages, one subject a file."""

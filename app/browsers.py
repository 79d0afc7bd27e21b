"""Browsers that print to PDF and draw pictures, by the names of their commands."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

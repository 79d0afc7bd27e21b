"""Columns of tables that pages share: whole numbers, and what is said of intervals."""

from typing import Any

import streamlit as st

INTERVAL_HELP = "The ends of a 95 % Wilson interval: how far off the choice of test images may put it."


def count_column(title: str, help: str | None = None) -> Any:
    """Configure a column of whole numbers, with separators of thousands."""
    return st.column_config.NumberColumn(title, format="localized", help=help)

"""What a visitor's browser shows: the frame around all pages, one page a file in views/."""

from pathlib import Path

import streamlit as st

from app import access, addresses, elements, pressed, supervision
from app.sections import page_tools

st.set_page_config(
    page_title="CFA Studio", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide"
)

st.html(Path(__file__).with_name("style.css"))
pressed.hear_each_press_once()

page = st.navigation(
    [
        st.Page("views/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("views/train.py", title="Train", icon=":material/model_training:"),
        st.Page("views/monitor.py", title="Monitor", icon=":material/monitor_heart:"),
        st.Page("views/runs.py", title="Runs", icon=":material/folder_open:"),
        st.Page("views/evaluate.py", title="Evaluate", icon=":material/shield:"),
        st.Page("views/classes.py", title="Classes", icon=":material/grid_on:"),
        st.Page("views/sweep.py", title="Sweep", icon=":material/show_chart:"),
        st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("views/leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
    ],
    position="top",
)

with elements.explained_errors():
    access.require_login()
    elements.show_notices()
    page_tools.show_tools()
    with addresses.of(page.url_path):
        page.run()
    supervision.spare_torch()

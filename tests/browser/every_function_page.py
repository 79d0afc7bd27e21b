"""A page that calls every function of the door for whoever has signed in, and shows what came of it."""

import json
import sys
from pathlib import Path

import streamlit as st

sys.path.append(str(Path(__file__).parents[2]))

from app import access
from tests.app.every_function import ask_everything

access.require_login()
st.title("Every function")
st.code(json.dumps(ask_everything()), language=None)

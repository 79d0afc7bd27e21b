"""The dashboard: `streamlit run app/main.py`, from any folder."""

import sys
from pathlib import Path

from cfa.search_path import forget_working_folder

# Streamlit puts this folder first, in which `tables` and `texts` would be modules for everybody; behind it is
# the folder that somebody stands in, where a `psutil.py` may lie that must not be run.
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]
forget_working_folder()

from streamlit.starlette import App  # noqa: E402

from app import server  # noqa: E402

app = App("pages.py", lifespan=server.lifespan, middleware=server.MIDDLEWARE)

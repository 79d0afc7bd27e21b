"""Where browsers find plotly: the library inside of the plotly package, served from this machine.

Streamlit serves it from the dashboard's own `static/` folder, which is not part of the project.
"""

import os
import shutil
import tempfile
from pathlib import Path

import plotly

LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
STATIC = Path(__file__).with_name("static")


def library_address() -> str | None:
    """Say where plotly's library is served; ``None`` where it could not be put into ``static/``."""
    served = _served()
    return f"app/static/{served.name}" if served.is_file() else None


def put_library_in_place() -> None:
    """Put plotly's library where Streamlit serves files from, once for each version."""
    served = _served()
    if served.is_file() and served.stat().st_size == LIBRARY.stat().st_size:
        return
    try:
        STATIC.mkdir(exist_ok=True)
        # Another dashboard may do the same at this moment: each writes a file of its own and renames it.
        with tempfile.TemporaryDirectory(dir=STATIC) as scratch:
            os.replace(shutil.copyfile(LIBRARY, Path(scratch) / served.name), served)
    except OSError:  # a read-only installation: charts are drawn anew instead
        return


def _served() -> Path:
    return STATIC / f"plotly-{plotly.__version__}.min.js"

"""Safe by default, readable in both themes, and started from any folder."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import app

APP = Path(app.__file__).parent
SAFE = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.allowedHosts": ["localhost", "127.0.0.1"],
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.enableAgentApi": False,
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
}


def test_settings_hold_whatever_folder_one_starts_from(tmp_path):
    """Ask Streamlit itself, as `streamlit run app/main.py` sets it up, in a folder without any settings."""
    program = (
        "import json, sys; from streamlit import config; config._main_script_path = sys.argv[1]; "
        "config.get_config_options(force_reparse=True); "
        "print(json.dumps({name: config.get_option(name) for name in sys.argv[2:]}))"
    )
    command = [sys.executable, "-c", program, str(APP / "main.py"), *SAFE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == SAFE
    assert "not a valid config option" not in done.stdout + done.stderr


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_are_complete(theme):
    colours = tomllib.loads((APP / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"][theme]
    assert {"primaryColor", "backgroundColor", "secondaryBackgroundColor", "textColor"} <= set(colours)


def test_no_module_shadows_the_standard_library():
    """`streamlit run app/main.py` puts app/ first on the path."""
    assert not {file.stem for file in APP.glob("*.py")} & set(sys.stdlib_module_names)

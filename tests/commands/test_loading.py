"""Commands are listed without their files, and imported when one of them is called."""

import json
import pkgutil
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.main import get_group

import cfa.commands
from cfa.commands import COMMANDS

PROJECT = Path(__file__).resolve().parents[2]
# Every command, those of a suite as well, as words to type.
WORDS = [[name] for name in COMMANDS] + [["suite", part] for part in ("plan", "run", "report")]


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def imported_by(*words: str) -> set[str]:
    """Call a command in a process of its own, and give the modules that it had imported at its end."""
    script = (
        "import json, sys; from typer.testing import CliRunner; from cfa.commands import app\n"
        f"assert CliRunner().invoke(app, {list(words)!r}).exit_code == 0\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


def test_the_installed_command_is_python_m_cfa() -> None:
    value = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]["cfa"]
    assert EntryPoint("cfa", value, "console_scripts").load() is cfa.commands.main
    ended = subprocess.run([sys.executable, "-m", "cfa", "fly"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No such command 'fly'" in ended.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_own_help_begins_with(cfa, name) -> None:
    told = in_one_line(cfa(name, "--help").stdout)
    assert f" {COMMANDS[name].summary} " in told
    listed = cfa("--help").stdout
    assert (f"  {name} " in listed) != COMMANDS[name].hidden


def test_every_command_of_a_file_is_listed() -> None:
    files = [module.name for module in pkgutil.iter_modules(cfa.commands.__path__)]
    groups = {name: import_module(f"cfa.commands.{name}") for name in files}
    found = {
        (file, name, command.hidden)
        for file, module in groups.items()
        if hasattr(module, "group")
        for name, command in get_group(module.group).commands.items()
    }
    assert found == {(listed.file, name, listed.hidden) for name, listed in COMMANDS.items()}


def test_the_list_of_commands_imports_none_of_them() -> None:
    imported = imported_by("--help")
    assert [name for name in imported if name.startswith("cfa.")] == ["cfa.commands"]
    assert imported.isdisjoint({"torch", "pandas", "sqlalchemy", "pydantic"})


def test_help_waits_for_no_command_of_another_file() -> None:
    imported = imported_by("runs", "--help")
    files = {f"cfa.commands.{listed.file}" for listed in COMMANDS.values()}
    assert imported & files == {"cfa.commands.listing"}


def test_no_help_needs_torch_or_pandas() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from cfa.commands import app\n"
        f"for words in {WORDS!r}:\n"
        "    assert CliRunner().invoke(app, [*words, '--help']).exit_code == 0, words\n"
        "    print(*words, *sorted({'torch', 'pandas', 'streamlit'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [" ".join(words) for words in WORDS]


def test_training_and_evaluating_import_nothing_that_takes_seconds_and_is_rarely_needed() -> None:
    script = (
        "import sys, cfa.training, cfa.evaluation\n"
        "print(*sorted({'torchvision', 'torch._dynamo', 'scipy.stats', 'pandas'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []

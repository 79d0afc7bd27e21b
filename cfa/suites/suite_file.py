"""Reading a suite file, with all that can be checked before anything runs; each fault is a sentence."""

import reprlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic

from cfa import trust
from cfa.errors import CfaError, ConfigError
from cfa.registry import unknown
from cfa.suites.suite import Suite, SuiteEvaluation
from cfa.suites.suite_runs import runs_of
from cfa.suites.words import LARGEST_FILE, check_depth, check_dots


def code_in(file: Path) -> tuple[str, ...]:
    """Return import names and folders in a suite file, which are opened only where a person trusts the file.

    Raises:
        ConfigError: The file is missing or not TOML.
    """
    return trust.outside_names(_texts(_toml(file)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (key, *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError(f"suite {file} has more than {LARGEST_FILE:,} bytes; give one written by hand")
        text = content.decode()
        check_dots(text)
        given = tomllib.loads(text)
        check_depth(given)
    except OSError as error:
        raise ConfigError(f"suite {file} cannot be read ({error.strerror}); give a .toml file") from error
    # A number of more digits than Python reads is a ValueError as well.
    except ValueError as error:
        raise ConfigError(f"suite {file} is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"suite {file} has tables within each other without end; write it flat") from error
    return given


def read_suite(file: Path) -> Suite:
    """Read a suite file and check all that can be checked before anything runs.

    Raises:
        ConfigError: The file is missing or not TOML, or a key is unknown or has a value that does not fit; or
            it names somebody's code, and nobody said that it is to be trusted.
    """
    given = _toml(file)
    try:
        suite = Suite.model_validate(given)
        for run in runs_of(suite):
            for evaluation in suite.evaluations:
                evaluation.plan(run.config)
        suite.published_numbers()
    except pydantic.ValidationError as error:
        raise ConfigError(f"suite {file}: {_explain(error)}") from error
    except CfaError as error:
        raise ConfigError(f"suite {file}: {error}") from error
    return suite


def _explain(error: pydantic.ValidationError) -> str:
    """Put the first complaint into a sentence; an unknown key gets the nearest choices."""
    item = error.errors()[0]
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        kind = SuiteEvaluation if len(item["loc"]) > 1 else Suite
        choices = [*kind.model_fields, *(["dataset"] if kind is Suite else [])]
        return str(unknown("key", str(item["loc"][-1]), choices)) + (f" (in {where})" if "." in where else "")
    if item["type"] == "missing":
        return f"{'dataset' if where == 'datasets' else where} is missing; add it"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    if item["type"] == "string_pattern_mismatch":
        message = "is no name; write a word such as pgd-20 or cifar10, and no path"
    given = reprlib.repr(item["input"])  # of any length
    return f"{where}={given} {message}" if where else message

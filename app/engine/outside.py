"""What no registry holds, images in some folder or somebody's code: opened once a person asks, not to draw.

A name such as ``folder:/some/path`` or ``package.module:name`` may come from an address that somebody sent,
from a run that was copied here, or from a visitor who may only look. To draw a page it is a text: whoever
asks gets the same sentence, whether there is something behind it or not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app.access import visitor
from app.engine.snapshots import Run
from app.process.brief import kept_for
from app.process.opened import store
from app.process.rights import acts, looks
from cfa.errors import CfaError, ConfigError
from cfa.home import default_home
from cfa.runs.trusted import Trusted, code_of
from cfa.trust import allowing

if TYPE_CHECKING:
    from cfa.data import DatasetInfo

NOT_LOOKED_AT = "{name!r} is a folder or somebody's code; looked at once somebody who may start asks for it"


class NotLookedAt(ConfigError):
    """Nobody who may has asked to look at this yet."""


@looks
def is_outside(name: str) -> bool:
    """Tell whether a data set's name stands for a folder or for somebody's code."""
    return ":" in name


@looks
def waits_for_a_look(name: str) -> bool:
    """Tell whether a data set is of the kind that is described only once somebody has asked."""
    return is_outside(name) and _known(name) is None


@looks
def dataset_description(name: str) -> "DatasetInfo":
    """Describe a data set without decoding its images.

    Raises:
        NotLookedAt: It is a folder or somebody's code, and nobody who may has asked to look at it.
        CfaError: There is no such data set.
    """
    if not is_outside(name):
        return _described(str(default_home()), name)
    known = _known(name)
    if known is None:
        raise NotLookedAt(NOT_LOOKED_AT.format(name=name))
    return known


@acts
def look_at(name: str) -> "DatasetInfo":
    """Describe a data set, whatever it is: a folder is read, code that was typed is run.

    Raises:
        CfaError: It cannot be described.
    """
    with allowing([name]):
        return describe_now(name)


@acts
def describe_now(name: str) -> "DatasetInfo":
    """Describe a data set for work that is about to start; its code has been allowed by whoever starts it.

    Raises:
        CfaError: It cannot be described.
    """
    if not is_outside(name):
        return dataset_description(name)
    from cfa.data import dataset_info

    info = dataset_info(name, store().data_folder)
    _looked_at(str(default_home()))[name] = info
    return info


@looks
def is_missing(name: str) -> bool:
    """Tell whether a data set is known, and not here."""
    try:
        return not dataset_description(name).available
    except CfaError:
        return False  # whoever wants to use it says what is wrong with it


@looks
def forget_datasets() -> None:
    """Look anew which of the data sets with a name of their own are here."""
    _described.clear()


@looks
def dataset_names() -> list[str]:
    """List the data sets that can be named."""
    from cfa.data import DATASETS

    return list(DATASETS)


@looks
def untrusted_code(chosen: Sequence[Run]) -> tuple[str, ...]:
    """Name the code that runs name and that nobody has typed in this store: they were copied here."""
    typed = Trusted.of(store())
    names = [n for run in chosen for n in code_of(run.folder.config) if n not in typed.read(run.id).names]
    return tuple(dict.fromkeys(names))


def _known(name: str) -> "DatasetInfo | None":
    """Return what is known of a data set that is outside; to those who may start alone."""
    return _looked_at(str(default_home())).get(name) if visitor().may_start else None


@kept_for(10)
def _described(home: str, name: str) -> "DatasetInfo":
    from cfa.data import dataset_info

    return dataset_info(name, store().data_folder)


@st.cache_resource(show_spinner=False)
def _looked_at(home: str) -> dict[str, "DatasetInfo"]:
    return {}

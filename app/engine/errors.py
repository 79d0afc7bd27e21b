"""Errors that a page shows as one sentence, and such sentences without the folders of this machine."""

from pathlib import Path

from app.process.rights import looks
from cfa.errors import CfaError as CfaError
from cfa.errors import ConfigError as ConfigError
from cfa.errors import StoreError as StoreError
from cfa.home import default_home


@looks
def without_places(text: str) -> str:
    """Name the folders of this machine by what they are: a screen may be shared, its owner's name is not."""
    for place, name in ((default_home(), "CFA_HOME"), (Path(__file__).parents[2], "…"), (Path.home(), "~")):
        if len(place.parts) > 1:  # a container's home may be /, and 8/255 is no place
            text = text.replace(str(place), name)
    return text

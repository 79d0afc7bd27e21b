"""What a run may be called: names that a person can tell apart, type again, and that mean nothing else.

Runs are copied from others, and commands take names. One that looks like another on a screen, or that could
be taken for somebody's code, a scheme or a file, would have a command do something else than it says.
"""

import re
import secrets
import unicodedata
from dataclasses import dataclass

from cfa.trust import SCHEMES, is_import_name

SHORTEST_START = 4  # characters of an id by which a run is found

_PLAIN = re.compile(r"\w[\w .+:()-]{0,79}")
_FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")  # of weights
# Beside these, whose letters look like no Latin ones, people write Latin words in one name.
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})

CHARACTERS = "take up to 80 letters, digits, spaces and any of . _ + : ( ) -"


def is_usable_name(name: str) -> bool:
    """Tell whether a run may be called so."""
    return not refusal(name)


def refusal(name: str) -> str:
    """Say why no run may be called so, as the end of a sentence with the way out; empty where one may."""
    if _PLAIN.fullmatch(name) is None:
        return f"; {CHARACTERS}"
    if name.endswith(" ") or "  " in name:
        return ": spaces at its end or beside each other are not seen; leave them out"
    if unicodedata.normalize("NFKC", name) != name:
        plain = unicodedata.normalize("NFKC", name)
        return f": its letters are another way of writing {plain!r}; write it so"
    if any(letter.isnumeric() and not letter.isascii() for letter in name if not _is_letter(letter)):
        return ": some of its digits are not 0 to 9; write those"
    scripts = {_script(letter) for letter in name if _is_letter(letter)}
    if len(scripts - _EAST_ASIAN) > 1 or (scripts & _EAST_ASIAN and scripts - _EAST_ASIAN - {"LATIN"}):
        listed = " and ".join(sorted(script.capitalize() for script in scripts))
        return f": letters of {listed} can look alike; take letters of one script"
    if is_import_name(name) or name.partition(":")[0] in SCHEMES:
        return ": it reads like package.module:name, which stands for somebody's code; leave out the colon"
    if name.lower().endswith(_FILES):
        return ": it reads like a file; leave out its ending"
    return ""


def usable_name(wanted: str, otherwise: str) -> str:
    """Return a name made of ``wanted``, of plain letters where those of it do not go, or else the other."""
    if is_usable_name(wanted):
        return wanted
    for ending in _FILES:
        wanted = wanted.removesuffix(ending)
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", unicodedata.normalize("NFKC", wanted)).strip("-. ")[:60]
    return plain if is_usable_name(plain) else otherwise


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]


def begins(reference: str, run_id: str) -> bool:
    """Tell whether a run is found by this beginning of its id."""
    return len(reference) >= SHORTEST_START and run_id.startswith(reference)


@dataclass(frozen=True)
class Taken:
    """What runs are called already.

    Attributes:
        names: Their names.
        ids: Their ids: a name that is one, or the beginning of one, would be found in that run's place.
    """

    names: frozenset[str]
    ids: frozenset[str]

    def refusal(self, name: str) -> str:
        """Say why no new run may be called so, as the end of a sentence; empty where one may."""
        if why := refusal(name):
            return f"is not usable{why}"
        if name in self.names | self.ids:
            return f"is taken; choose another, for example {self.free(name)!r}"
        begun = next((run_id for run_id in sorted(self.ids) if begins(name, run_id)), None)
        return f"is the beginning of the id {begun}; choose another" if begun else ""

    def free(self, wanted: str) -> str:
        """Return a usable name, or with the first number that makes it unique."""
        numbers = range(2, len(self.names) + len(self.ids) + 3)
        return next(n for n in (wanted, *(f"{wanted}-{i}" for i in numbers)) if not self.has(n))

    def new_id(self) -> str:
        """Draw an id for a new run, which no name begins."""
        while True:
            # A letter first: 12e4567890 in a CSV would be read as a number.
            drawn = f"r{secrets.token_hex(4)}"
            if drawn not in self.ids and not any(begins(name, drawn) for name in self.names):
                return drawn

    def has(self, name: str) -> bool:
        """Tell whether a run is found by this name already."""
        return name in self.names or any(name == run_id or begins(name, run_id) for run_id in self.ids)

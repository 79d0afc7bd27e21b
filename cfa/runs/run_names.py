"""What people may call runs, views and tags: what can be told apart, typed again, and means nothing else.

Runs are copied from others, commands take names, and files are called by them, also on Windows. A name that
looks like another on a screen, or that could be taken for somebody's code, a scheme, an id or a file, would
have a command do something else than it says. Names that were given under earlier rules go on being read.
"""

import re
import secrets
import unicodedata
from dataclasses import dataclass

from cfa.trust import SCHEMES, is_import_name

SHORTEST_START = 4  # characters of an id by which a run is found
LONGEST = 100  # characters of a name

_NEVER = frozenset('/\\:*?"<>|')  # paths, schemes, and what no file on Windows is called
_NEVER_FIRST = frozenset("-.=+@ ")  # options, hidden files, and what a spreadsheet computes
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.ASCII)
_WORDS = ("best", "auto")  # a checkpoint and a kind of weights
_ID = re.compile(r"[rj][0-9a-f]{8}", re.IGNORECASE)  # of a run, of a job
_BEFORE = re.compile(r"\w[\w .+:()-]{0,79}")  # what names were made of until 2026
_FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")  # of weights
# They take no room, or look like a space.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# They look like / : ' " * . , - or like several of these.
_LIKE_PLAIN = re.compile(
    "[\u2010-\u201f\u2024-\u2026\u2032-\u203a\u2044\u204e\u2052\u2212\u2215-\u2217\u2223\u2236\u2571\u2572\u29f5-\u29f9\ua789]"
)
# Beside these, whose letters look like no Latin ones, people write Latin words in one name.
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})


def normal(name: str) -> str:
    """Write a name in the one way in which it is stored and looked for: letter and mark are one sign."""
    return unicodedata.normalize("NFC", name)


def is_usable_name(name: str) -> bool:
    """Tell whether a run that is there may go by this name, whenever it got it."""
    if normal(name) != name:  # it would look like the same one, written properly
        return False
    return not refusal(name) or (_BEFORE.fullmatch(name) is not None and not _misleads(name))


def refusal(name: str) -> str:
    """Say why nothing new may be called so, as the end of a sentence with the way out; empty where it may."""
    return _unfit(normal(name)) or _misleads(normal(name))


def _unfit(name: str) -> str:
    if not 1 <= len(name) <= LONGEST:
        return f": it has {len(name):,} characters; take 1 to {LONGEST}"
    if not name.isprintable() or _UNSEEN.search(name):
        return ": some of its signs are not seen; leave them out"
    if found := sorted(_NEVER & set(name)):
        return f": {' '.join(found)} {'stands' if len(found) == 1 else 'stand'} in no name; leave that out"
    if name[0] in _NEVER_FIRST:
        return f": no name begins with {'a space' if name[0] == ' ' else name[0]}; leave that out"
    if name[-1] == ".":
        return ": no name ends in a dot; leave that out"
    if _DEVICES.fullmatch(name):
        return ": it is the name of a device on Windows; choose another"
    if name.lower() in _WORDS:
        return ": it is a word of commands; choose another"
    if _ID.fullmatch(name):
        return ": it could be an id; choose another"
    return ""


def _misleads(name: str) -> str:
    if name.endswith(" ") or "  " in name:
        return ": spaces at its end or beside each other are not seen; leave them out"
    if unicodedata.normalize("NFKC", name) != name:
        plain = unicodedata.normalize("NFKC", name)
        return f": its letters are another way of writing {plain!r}; write it so"
    if found := _LIKE_PLAIN.search(name):
        return f": {found[0]} looks like a sign of the keyboard; write that"
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


def tag_refusal(tag: str) -> str:
    """Say why nothing new may be tagged so; as :func:`refusal`, and commas are between tags."""
    return refusal(tag) or (": a comma stands between tags; leave it out" if "," in tag else "")


def usable_name(wanted: str, otherwise: str) -> str:
    """Return a name made of ``wanted``, of plain letters where those of it do not go, or else the other."""
    wanted = normal(wanted)
    if not refusal(wanted):
        return wanted
    for ending in _FILES:
        wanted = wanted.removesuffix(ending)
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", unicodedata.normalize("NFKC", wanted)).strip("-.+ ")[:60]
    return otherwise if refusal(plain) else plain


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]


def begins(reference: str, run_id: str) -> bool:
    """Tell whether a run is found by this beginning of its id."""
    return len(reference) >= SHORTEST_START and run_id.startswith(reference)


@dataclass(frozen=True)
class Taken:
    """What runs are called already; names that differ in large and small letters alone are one.

    Attributes:
        names: Their names.
        ids: Their ids: a name that is one, or the beginning of one, would be found in that run's place.
    """

    names: frozenset[str]
    ids: frozenset[str]

    def without(self, name: str) -> "Taken":
        """Leave out the name of a run that is to get another."""
        return Taken(self.names - {name}, self.ids)

    def refusal(self, name: str) -> str:
        """Say why no new run may be called so, as the end of a sentence; empty where one may."""
        if why := refusal(name):
            return f"is not usable{why}"
        if self._is_there(name):
            return f"is taken; choose another, for example {self.free(name)!r}"
        begun = next((run_id for run_id in sorted(self.ids) if begins(name, run_id)), None)
        return f"is the beginning of the id {begun}; choose another" if begun else ""

    def free(self, wanted: str) -> str:
        """Return a usable name, or with the first number that makes it unique."""
        numbers = range(2, len(self.names) + len(self.ids) + 3)
        numbered = (f"{wanted[: LONGEST - len(str(i)) - 1]}-{i}" for i in numbers)
        return next(name for name in (wanted, *numbered) if not self.has(name))

    def new_id(self) -> str:
        """Draw an id for a new run, which no name begins."""
        while True:
            # A letter first: 12e4567890 in a CSV would be read as a number.
            drawn = f"r{secrets.token_hex(4)}"
            if drawn not in self.ids and not any(begins(name, drawn) for name in self.names):
                return drawn

    def has(self, name: str) -> bool:
        """Tell whether a run is found by this name already, or by one that reads the same."""
        return self._is_there(name) or any(begins(name, run_id) for run_id in self.ids)

    def _is_there(self, name: str) -> bool:
        return _folded(name) in {_folded(known) for known in self.names | self.ids}


def _folded(name: str) -> str:
    return normal(normal(name).casefold())

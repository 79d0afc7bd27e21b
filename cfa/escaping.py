"""Texts of others in formats that give some characters a meaning: there they are to mean themselves.

Names, tags, notes, messages and findings may come from anybody, with anything in them.
"""

import hashlib
import re
import unicodedata

_BREAKS = "\n\r\t\v\f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Write a text in one line without what moves a terminal's cursor or turns its direction.

    Line breaks become spaces; other control characters, marks of direction and halves of characters go.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if c in _BREAKS else c for c in text if c in _BREAKS or not _is_control(c))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or _DIRECTION.match(character) is not None


# What a spreadsheet would run, at the start of a cell or where another spreadsheet would begin one; with the
# apostrophes before it, so that one more can be taken away again.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n|]))'*(?=[=+\-@\t\r\n\0＝＋－＠])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_cell(text: str) -> str:
    """Write a text into a cell of a table so that no spreadsheet runs it; numbers stay numbers.

    An apostrophe stands before what would be run, which spreadsheets take for the mark of a text. Whoever
    reads the file takes one apostrophe away wherever some stand before ``=``, ``+``, ``-``, ``@`` or a line's
    end, at the start of a cell or behind ``;``, ``|`` or a line's end, and has the text as it was.
    """
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(lambda found: found[0] + "'", text)


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {c: f"&#{ord(c)};" for c in "|$@~:."}
_MARKED = re.compile(r"[\\`*\[\]~&<>|$@]|(?<![^\W_])_|_(?![^\W_])|(?<=[a-zA-Z]):(?=/)|(?<=[wW]{3})\.")
_STARTS = re.compile(r"^\s*([#+=-]|\d+[.)](?=\s|$))")


def markdown(text: str) -> str:
    """Write a text in one line into Markdown, anywhere in a line or a table's cell, as it is.

    No markup, HTML, link, picture, formula or mention comes of it.
    """
    escaped = _MARKED.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), printable(text).strip())
    return _STARTS.sub(lambda found: found[0][:-1] + f"\\{found[0][-1]}", escaped)


def fenced(text: str) -> str:
    """Write lines into Markdown as a block of code that ends where they do."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


LONGEST_PART = 80
_NUMBERED = re.compile(r"[^\w\-. ]|_(?=x)")


def name_part(text: str) -> str:
    """Write a text as one part of a name such as ``val/pgd-10/cat``, different for different texts.

    Letters, digits, ``_``, ``-``, ``.`` and spaces stay; everything else becomes its number, ``a,b`` is
    ``a_x2C_b``. So do what would be read as such a number, what no folder can be called, and spaces at an
    end. The end of what is very long gives way to its hash.
    """
    written = _NUMBERED.sub(lambda found: f"_x{ord(found[0]):X}_", text)
    if not text.strip(". ") or text != text.strip():
        written = "".join(f"_x{ord(character):X}_" for character in text) or "_x_"
    if len(written) > LONGEST_PART:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        written = f"{written[: LONGEST_PART - 20]}_x_{digest}"
    return written

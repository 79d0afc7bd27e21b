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


def harmless_json(text: str) -> str:
    """Write in JSON what :func:`printable` leaves out as numbers; it is the same document."""
    return "".join(
        character if character in "\n\r\t" or not _is_control(character) else f"\\u{ord(character):04x}"
        for character in text
    )


def _is_control(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or _DIRECTION.match(character) is not None
    )


# What a spreadsheet would run, at the start of a cell or where another spreadsheet would begin one; with the
# apostrophes before it, so that one more can be taken away again.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n|]))'*(?=[=+\-@\t\r\n\0＝＋－＠])")
_HALVES = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_cell(text: str) -> str:
    """Write a text into a cell of a table so that no spreadsheet runs it; numbers stay numbers.

    An apostrophe stands before what would be run, which spreadsheets take for the mark of a text. Whoever
    reads the file takes one apostrophe away wherever some stand before ``=``, ``+``, ``-``, ``@`` or a line's
    end, at the start of a cell or behind ``;``, ``|`` or a line's end, and has the text as it was.
    """
    whole = _HALVES.sub("\ufffd", text)  # of pairs: no file holds them
    return whole if _NUMBER.fullmatch(whole) else _FORMULA.sub(lambda found: found[0] + "'", whole)


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {c: f"&#{ord(c)};" for c in "|$@~:."}
# Brackets and underlines only where they could mean something: texts are read as they are, too.
_MARKED = re.compile(
    r"[\\`*~&<>|$@]|\](?=[\[(:])|(?<![^\W_])_|_(?![^\W_])|(?<=[a-zA-Z]):(?=/)|(?<=[wW]{3})\."
)
_STARTS = re.compile(r"[#+=-]|\d+[.)](?=\s|$)|\[")


def markdown_text(text: str) -> str:
    """Write a text in one line into Markdown, anywhere in a line or a table's cell, as it is.

    No markup, HTML, link, picture, formula or mention comes of it.
    """
    escaped = _MARKED.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), printable(text).strip())
    start = _STARTS.match(escaped)
    return escaped if start is None else f"{escaped[: start.end() - 1]}\\{escaped[start.end() - 1 :]}"


_ROOM_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JOINER = "\N{WORD JOINER}"  # takes no room, and keeps apart what would be a mention or a link


def chat_text(text: str) -> str:
    """Write a text in one line into a message of a chat room (Slack, Mattermost and their like), as it is.

    Nobody is called by it, and it links to nothing.
    """
    escaped = "".join(_ROOM_ENTITIES.get(sign, sign) for sign in printable(text).strip())
    return re.sub(r"(?<=[@!#`*_~\[\]])|(?<=:)(?=//)|(?<=[wW]{3})(?=\.)", _JOINER, escaped)


def fenced(text: str) -> str:
    """Write lines into Markdown as a block of code that ends where they do."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


_LATEX = (
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        '"': "{''}",
        "`": "{`}",
    }
    | {character: f"\\{character}" for character in "&%$#_{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {character: f"{{{character}}}" for character in "[]*"}  # options of the row that ends before
    | {
        "±": r"$\pm$",
        "·": r"$\cdot$",
        "\N{MINUS SIGN}": "$-$",
        "×": r"$\times$",
        "…": r"\ldots{}",
        "°": r"$^\circ$",
    }
    | {"–": "{--}", "—": "{---}", "‘": "{`}", "’": "{'}", "“": "{``}", "”": "{''}", "\N{NO-BREAK SPACE}": "~"}
    | {"ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "ø": r"{\o}", "Ø": r"{\O}", "œ": r"{\oe}", "Œ": r"{\OE}"}
)
_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u0307\u030a\u030b\u030c\u0327",
        "`'^~\"=u.rHvc",
        strict=True,
    )
)
LATEX_UNKNOWN = r"\providecommand{\cfachar}[2]{\ifdefined\Umathchar#1\else[U+#2]\fi}"
"""Has to stand before texts with ``\\cfachar``: a character that only XeLaTeX and LuaLaTeX can print."""


def latex_text(text: str) -> str:
    """Write a text in one line so that LaTeX prints it, whatever is in it and whichever LaTeX it is."""
    composed = unicodedata.normalize("NFC", printable(text))
    # Two hyphens beside each other would become a dash.
    return re.sub(r"(-)(?=-)|(.)", lambda found: "-{}" if found[1] else _latex(found[2]), composed)


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii():
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"{{\\{_ACCENTS[parts[1]]}{{{parts[0]}}}}}"
    return f"\\cfachar{{{character}}}{{{ord(character):X}}}"


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

"""How columns of outcomes are named: ``ATTACK``, a member's ``ATTACK/MEMBER``, and ``ATTACK/by``.

Where an attack has a budget of its own, ``@EPS`` stands behind all of that: ``autoattack/square@8/255``.
"""


def parted(column: str) -> tuple[str, str]:
    """Split a column into what stands before its budget, and the budget with its ``@`` (or nothing)."""
    name, at, eps = column.partition("@")
    return name, at + eps


def part_of(column: str, part: str) -> str:
    """Name a composite attack's column for one of its members, or for ``by``."""
    name, budget = parted(column)
    return f"{name}/{part}{budget}"


def by_of(column: str) -> str:
    """Name the column that says which member of a composite attack broke an image."""
    return part_of(column, "by")


def composite_of(column: str) -> str:
    """Name the composite attack that a member's column belongs to."""
    name, budget = parted(column)
    return name.rpartition("/")[0] + budget


def member_of(column: str) -> str:
    """Name the member whose column it is."""
    return parted(column)[0].rpartition("/")[2]


def belongs_to(column: str, composite: str) -> bool:
    """Tell whether a column is that of a member of a composite attack, at the same budget."""
    name, budget = parted(composite)
    return column.startswith(f"{name}/") and column.endswith(budget)

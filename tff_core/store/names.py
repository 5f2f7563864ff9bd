"""Names of generators and detectors: kept exactly by every file, table, page and setting.

They appear in file names, in columns of CSV tables, in YAML and in addresses of pages. A CSV table does not
say which of its fields are text, so a name that a reader takes for a number, a date, a truth value or a
missing one is refused when it is chosen, rather than changed later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 40
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST - 1}}}")
# words that tables, the workflow's rules and settings use for something else
RESERVED = {
    "all": "all generators together",
    "mean": "the mean over generators",
    "none": "nothing at all",
    "imagenet": "weights of torchvision",
    "real": "real pictures",
    "fake": "all fakes together",
    "detection": "telling fakes from reals, beside naming them",
    "unreadable": "pictures that cannot be read",
}
# readers of CSV and YAML take these for missing, for truth values or for numbers, in any case of letters
_WORDS = {
    **dict.fromkeys(("na", "nan", "nat", "null", "nil"), "a missing value"),
    **dict.fromkeys(("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n"), "a truth value"),
    **dict.fromkeys(("inf", "infinity"), "a number"),
}
# whole and decimal numbers, also grouped and to other bases; days, with or without an hour
_NUMBER = re.compile(r"\d[\d_]*(e-?\d+)?|0[xob][\da-f_]+", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{1,2}(-\d{1,2}([t_-].*)?)?", re.IGNORECASE)
_DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)


def check(name: object, what: str = "name") -> str:
    """The name, if it is valid; ValueError says what it would be taken for. ``what``: whose it is."""
    if not isinstance(name, str):
        raise ValueError(
            f"{name!r} is no name for the book but {type(name).__name__}: expected text; put the {what} in "
            "quotes, or choose another"
        )
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for the book: expected at most {LONGEST} letters, digits, - and _, "
            "beginning with a letter or digit; choose another and give the full one with --title"
        )
    taken = taken_for(name)
    if taken:
        raise ValueError(
            f"{name!r} is no name for the book, since {taken}: choose another, such as {f'my-{name}'!r}, and "
            "give the full one with --title"
        )
    return name


def taken_for(name: str) -> str:
    """What a well-formed name would be taken for, as a clause; empty if it stays what it is."""
    lower = name.lower()
    if lower in RESERVED:
        return f"it stands for {RESERVED[lower]}"
    if lower in _WORDS:
        return f"tables and settings would read it back as {_WORDS[lower]}"
    if _NUMBER.fullmatch(name):
        return "tables and settings would read it back as a number"
    if _DATE.fullmatch(name):
        return "tables and settings would read it back as a date"
    if _DEVICES.fullmatch(name):
        return "no file can be called so on Windows"
    return ""


def same(name: str, others: Iterable[str]) -> str:
    """The other name that a case-insensitive file system would confuse with this one; or none."""
    return next((other for other in others if other.lower() == name.lower()), "")


def check_all(names: Iterable[object], what: str) -> None:
    """ValueError at the first that is not a valid name, or that differs from another only in case."""
    seen: list[str] = []
    for one in names:
        name = check(one, what)
        if other := same(name, seen):
            told = (
                "is listed twice" if other == name else f"and {other!r} differ in the case of letters alone"
            )
            raise ValueError(f"{what} {name!r} {told}; take one away or rename it")
        seen.append(name)

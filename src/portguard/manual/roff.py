"""Spell text for man(7)."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CODE = re.compile(r"`([^`]+)`")


def escaped(text: str) -> str:
    """Make a text mean itself: a backslash, a dash, and a dot or quote at the start of a line are roff's own."""
    plain = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    return re.sub(r"^(?=[.'])", r"\\&", plain, flags=re.MULTILINE)


def prose(text: str) -> str:
    """Spell a paragraph; what stands in backquotes is set bold."""
    filled = "\n".join(
        textwrap.wrap(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False)
    )
    return _CODE.sub(r"\\fB\1\\fR", escaped(filled))


def bold(text: str) -> str:
    """Spell something in bold."""
    return rf"\fB{escaped(text)}\fR"


def header(name: str, section: int, title: str, *, date: str, version: str) -> list[str]:
    """Begin a page. The date is that of what the page is about, never today's: the same source gives the same bytes."""
    return [
        f'.TH {name.upper()} {section} "{date}" "portguard {version}" "{title}"',
        ".nh",
        ".ad l",
    ]


def section(title: str) -> str:
    """Begin a section."""
    return f".SH {title.upper()}"


def entry(term: str, text: str) -> list[str]:
    """Write an entry of a list: a term, already spelled, and what it means."""
    return [".TP", term, prose(text)]


def verbatim(lines: Iterable[str]) -> list[str]:
    """Write lines as they are."""
    return [".PP", ".RS 4", ".nf", *(escaped(line) or r"\&" for line in lines), ".fi", ".RE"]

"""Find the line on which each value of a TOML document stands.

``tomllib`` gives values without their places, and a fault without its line is a search. The text has been accepted by
``tomllib`` before, so this scanner only has to find things, not to judge them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Place = tuple[str | int, ...]
"""Where a value stands in a document: ``("zones", "printers", 1)``."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!"")|""(?!"))*"{3,5}'
    r"|'''(?:[^']|'(?!'')|''(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_CONTROL = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def lines_of(text: str) -> Mapping[Place, int]:
    """Map each table, key and element of a valid TOML document to its line, from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Place, int] = {}
        self._counts: dict[Place, int] = {}
        """Tables seen so far of each array of tables."""
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def document(self) -> None:
        table: Place = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text.startswith("[[", self.at):
                self.at += 2
                place = self._table(self._key())
                number = self._counts.get(place, 0)
                self._counts[place] = number + 1
                table = (*place, number)
                self.lines[table] = self._line()
                self._skip(_SPACE)
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                table = self._table(self._key())
                self.lines[table] = self._line()
                self._skip(_SPACE)
                self.at += 1
            else:
                self._pair(table)

    def _table(self, keys: tuple[str, ...]) -> Place:
        """Find the table that a header names; within an array of tables that is the newest one."""
        place: Place = ()
        for number, key in enumerate(keys, 1):
            place = (*place, key)
            # A header implies the tables above it.
            self.lines.setdefault(place, self._line())
            if place in self._counts and number < len(keys):
                place = (*place, self._counts[place] - 1)
        return place

    def _pair(self, table: Place) -> None:
        start = self._line()
        place = table
        for key in self._key():
            place = (*place, key)
            self.lines.setdefault(place, start)
        self._skip(_SPACE)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(place)

    def _value(self, place: Place) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self._skip(_STRING)
        elif opening == "[":
            self._array(place)
        elif opening == "{":
            self._inline(place)
        else:
            self._skip(_SCALAR)

    def _array(self, place: Place) -> None:
        self.at += 1
        number = 0
        self._skip(_BLANK)
        while self.text[self.at] != "]":
            self.lines[(*place, number)] = self._line()
            self._value((*place, number))
            number += 1
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self._skip(_BLANK)
        self.at += 1

    def _inline(self, place: Place) -> None:
        self.at += 1
        self._skip(_BLANK)
        while self.text[self.at] != "}":
            self._pair(place)
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self._skip(_BLANK)
        self.at += 1

    def _key(self) -> tuple[str, ...]:
        """Read a key with its dots; leave the position behind it."""
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            quote = self.text[self.at]
            start = self.at
            self._skip(_STRING if quote in "\"'" else _BARE_KEY)
            word = self.text[start : self.at]
            if quote in "\"'":
                word = word[1:-1]
            keys.append(_ESCAPE.sub(_unescape, word) if quote == '"' else word)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(keys)
            self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise AssertionError(f"tomllib accepted what the scanner does not know, at {self.at}")
        self.at = match.end()
        return self.at

    def _line(self) -> int:
        return bisect_right(self._starts, self.at)


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "uU" else _CONTROL.get(code, code)

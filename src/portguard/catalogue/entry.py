"""One table of a catalogue file on its way to a value: typed getters that note a fault and go on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from portguard.model.flow import Source
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*(/[a-z0-9][a-z0-9.+-]*)?")
_SOURCE = re.compile(r"([A-Za-z0-9._-]+):([1-9][0-9]*)")

E = TypeVar("E", bound="StrEnum")


@dataclass(slots=True)
class Entry:
    """One table. Each getter returns something of its type even at a fault, so that all faults are found."""

    report: Callable[[str, str], None]
    """Takes the path of a fault and its message."""
    path: str
    table: Mapping[str, Any]
    used: set[str] = field(default_factory=set)

    def fault(self, key: str, message: str) -> None:
        """Report what is wrong with one key, or with the table where the key is empty."""
        self.report(f"{self.path}.{key}" if key else self.path, message)

    def text(self, key: str, default: str | None = None) -> str:
        """Read a text that must be there unless there is a default; empty at a fault."""
        self.used.add(key)
        value = self.table.get(key, default)
        if value is None:
            self.fault(key, "is missing")
            return ""
        if not isinstance(value, str) or not value.strip():
            self.fault(key, "must be a text that is not empty")
            return ""
        return value

    def optional(self, key: str) -> str | None:
        """Read a text that may be left out."""
        return self.text(key) if key in self.table else None

    def flag(self, key: str, *, default: bool) -> bool:
        """Read a truth value."""
        self.used.add(key)
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            self.fault(key, "must be true or false")
            return default
        return value

    def list(self, key: str, parse: Callable[[Any], Any], *, required: bool = True) -> tuple[Any, ...]:
        """Read a list, each item by a function that raises ValueError with a message for people."""
        self.used.add(key)
        value = self.table.get(key)
        if value is None:
            if required:
                self.fault(key, "is missing")
            return ()
        if not isinstance(value, list):
            self.fault(key, "must be a list")
            return ()
        out = []
        for number, item in enumerate(value):
            try:
                out.append(parse(item))
            except ValueError as error:
                self.fault(f"{key}[{number}]", str(error))
        return tuple(out)

    def choice(self, key: str, kind: type[E], default: str | None = None) -> E:
        """Read a member of an enumeration; its first one at a fault."""
        value = self.text(key, default)
        try:
            return kind(value)
        except ValueError:
            if value:
                names = [member.value for member in kind]
                self.fault(key, f"{value!r} is none of {', '.join(names)}{did_you_mean(value, names)}")
            return next(iter(kind))

    def id(self) -> str:
        """Read the id, which looks like ``product/name``."""
        value = self.text("id")
        if value and not _ID.fullmatch(value):
            self.fault("id", f"{value!r} is not an id such as product/name, in lower case")
        return value

    def done(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self.table.keys() - self.used:
            self.fault(key, f"is not a key of a {self.path.partition('[')[0]}{did_you_mean(key, self.used)}")


def parse_text(value: object) -> str:
    """Accept a text that is not empty. Raises ValueError."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value


def parse_source(value: object) -> Source:
    """Read ``000:19``. Raises ValueError."""
    match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a document and a line such as "000:19"')
    return Source(match[1], int(match[2]))

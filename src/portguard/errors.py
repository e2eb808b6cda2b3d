"""What can go wrong, as one tree.

::

    PortguardError
    +-- ConfigError        the configuration or a catalogue file is at fault: every fault at once   exit 78
    +-- ObserveError       a part of the world could not be read: becomes a gap                      exit 3
    +-- NftError           the kernel or libnftables refused a transaction                           exit 3
    +-- UsageError         the command line asks for something that does not exist                   exit 64
    +-- LabError           the lab could not be built, or a part of it ended by itself               exit 3

Expected failures inside ``core`` are values, never exceptions; a bug is an ``AssertionError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PortguardError(Exception):
    """Anything that portguard itself reports; the message is one sentence for an administrator."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fault:
    """One thing that is wrong in a file that a person wrote."""

    file: str
    """Path of the file as the user gave it, or ``environment``."""
    line: int | None = None
    """Line in the file, from 1, where it could be found."""
    path: str
    """Where in the document, e.g. ``zones.printers[1]``."""
    message: str

    def __str__(self) -> str:
        """Spell it as ``file:line: path: message``, the form editors jump to."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(PortguardError):
    """The configuration or the catalogue cannot be used; carries every fault found, in file order."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class ObserveError(PortguardError):
    """A part of the world could not be read. It is turned into a gap: never into "empty"."""


class UsageError(PortguardError):
    """A command was asked about something that does not exist."""


class LabError(PortguardError):
    """The lab could not be built, or a part of it ended by itself."""


class NftError(PortguardError):
    """libnftables or the kernel refused a transaction; nothing of it was applied (nft is atomic)."""

    def __init__(self, message: str, *, transaction: str = "", not_permitted: bool = False) -> None:
        super().__init__(message)
        self.transaction = transaction
        """The transaction as nft text, for the log."""
        self.not_permitted = not_permitted
        """EPERM: the table belongs to another process (``flags owner``) or a capability is missing."""

"""The ruleset as last read, and which of its tables have changed since.

Announcements name the tables that a transaction touched, so a change costs the tables it touched and not the ruleset: a
blocklist of 100,000 elements is not read again because of a rule elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core.render import OWN_TABLE
from portguard.errors import ObserveError
from portguard.model.continuity import continued

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portguard.kernel.world import Firewall
    from portguard.model.ruleset import Ruleset, RulesetChange, Table, TableKey
    from portguard.model.transaction import Transaction


class RulesetView:
    """Reads the ruleset as far as it may have changed."""

    def __init__(self, firewall: Firewall) -> None:
        self._firewall = firewall
        self._ruleset: Ruleset | None = None
        self._before: Ruleset | None = None
        """The reading that is no longer trusted: what is read again and says the same stays the same object."""
        self._stale: dict[TableKey, int] = {}
        """Tables to read again, with the generation that touched them."""
        self._read_at: dict[TableKey, int] = {}
        """Generation that a table's own last reading holds at least."""
        self._announced = -1
        """Generation of the last announcement."""

    def announced(self, changes: Iterable[RulesetChange]) -> None:
        """Note announced transactions. A generation that nobody announced makes everything stale."""
        for change in changes:
            read = self._ruleset.generation if self._ruleset is not None else -1
            last, self._announced = max(self._announced, read), change.generation
            if change.generation > last + 1:
                self.distrust()
            for key in change.tables if change.generation > read else ():
                if change.generation > self._read_at.get(key, -1):
                    self._stale[key] = change.generation

    def committed(self, transaction: Transaction) -> None:
        """Note an own transaction at once: its announcement may come after the next look."""
        for operation in transaction.operations:
            self._stale.setdefault(operation.table, -1)

    def distrust(self) -> None:
        """Believe nothing of the reading any longer."""
        if self._ruleset is not None:
            self._before = self._ruleset
        self._ruleset = None

    def moved(self) -> bool:
        """Say whether the kernel's ruleset may be another one than was read, without reading it.

        A table with an owner that dies with it is neither announced nor counted as a generation.
        """
        if self._ruleset is None or any("owner" in table.flags for table in self._ruleset.tables.values()):
            return True
        try:
            now = self._firewall.generation()
        except ObserveError:
            return True
        return now > max(self._ruleset.generation, self._announced, *self._read_at.values(), -1)

    def own_table(self) -> Table | None:
        """Read the own table now. Raises ObserveError."""
        generation = self._firewall.generation()
        table = self._firewall.read_table(OWN_TABLE)
        self._put(OWN_TABLE, table, generation)
        return table

    def current(self) -> Ruleset:
        """Give the ruleset as it is now. Raises ObserveError when it cannot be read as a whole.

        A table that cannot be read is named in ``unreadable`` and tried again the next time.
        """
        if self._ruleset is None:
            self._ruleset = _continued(self._before, self._firewall.read())
            self._before = None
            self._stale.clear()
            self._read_at.clear()
        for key in sorted(self._stale):
            generation = self._firewall.generation()
            try:
                table = self._firewall.read_table(key)
            except ObserveError as error:
                unreadable = {**self._ruleset.unreadable, key: str(error)}
                tables = {name: row for name, row in self._ruleset.tables.items() if name != key}
                self._ruleset = replace(self._ruleset, tables=tables, unreadable=unreadable)
            else:
                self._put(key, table, generation)
        return self._ruleset

    def _put(self, key: TableKey, table: Table | None, generation: int) -> None:
        self._read_at[key] = generation
        self._stale.pop(key, None)
        if self._ruleset is None:
            return
        unreadable = {name: why for name, why in self._ruleset.unreadable.items() if name != key}
        tables = dict(self._ruleset.tables)
        if table is None:
            tables.pop(key, None)
        elif key in tables and tables[key].handle == table.handle:
            # The kernel's order of tables is that of their making.
            tables[key] = continued(tables[key], table)
        else:
            tables.pop(key, None)
            tables[key] = table
        self._ruleset = replace(self._ruleset, tables=tables, unreadable=unreadable)


def _continued(before: Ruleset | None, now: Ruleset) -> Ruleset:
    if before is None:
        return now
    tables = {
        key: continued(before.tables[key], table) if key in before.tables else table
        for key, table in now.tables.items()
    }
    return replace(now, tables=tables)

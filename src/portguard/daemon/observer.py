"""Look at the world through its edges, and turn whatever fails into a gap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from portguard.core.render import OWN_TABLE
from portguard.errors import ObserveError
from portguard.exposure.identify import sensitive
from portguard.kernel.legacy import legacy_tables
from portguard.model.snapshot import Gap, Scope, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from portguard.kernel.world import World
    from portguard.model.listener import Listener
    from portguard.model.ruleset import Ruleset, RulesetChange, Table, TableKey
    from portguard.model.snapshot import Links
    from portguard.model.transaction import Transaction

T = TypeVar("T")


class Observer:
    """Keeps the last reading of each part of the world, and reads again only what may have changed."""

    def __init__(self, world: World, *, legacy: Callable[[], tuple[str, ...]] = legacy_tables) -> None:
        self._world = world
        self._legacy = legacy
        self._gaps: dict[str, Gap] = {}
        self._ruleset: Ruleset | None = None
        self._ruleset_stale = True
        self._own_stale = False
        self._own_read = -1
        """Generation that the own table's last reading holds at least."""
        self._announced = -1
        """Generation of the last announcement."""
        self._listeners: tuple[Listener, ...] | None = None
        self._links: Links | None = None
        self._links_stale = True
        self.standing_gaps: dict[str, Gap] = {}
        """Gaps that others report: a watch that could not be set up, a status file that cannot be written."""

    # --- what changed ------------------------------------------------------------------------------------------

    def ruleset_changed(self, changes: tuple[RulesetChange, ...]) -> None:
        """Note announced transactions; one that touched only the own table costs one table to follow."""
        for change in changes:
            read = self._ruleset.generation if self._ruleset is not None else -1
            announced, self._announced = max(self._announced, read), change.generation
            if change.generation > max(announced + 1, read + 1):
                self._ruleset_stale = True  # an announcement in between was lost
            if change.generation > read:
                self._touched(change.tables, change.generation)

    def committed(self, transaction: Transaction) -> None:
        """Note an own transaction at once: its announcement may come after the next look."""
        self._touched({operation.table for operation in transaction.operations}, None)

    def _touched(self, tables: AbstractSet[TableKey], generation: int | None) -> None:
        if set(tables) - {OWN_TABLE}:
            self._ruleset_stale = True
        elif generation is None or generation > self._own_read:
            self._own_stale = True

    def set_standing_gap(self, name: str, gap: Gap | None) -> None:
        """Keep a gap that somebody else found in every snapshot, until it is taken back with None."""
        if gap is None:
            self.standing_gaps.pop(name, None)
        else:
            self.standing_gaps[name] = gap

    def links_changed(self) -> None:
        """Note that interfaces, addresses, routes or neighbours changed."""
        self._links_stale = True

    def everything_changed(self) -> None:
        """Forget all readings: announcements were lost, or a slow timer distrusts them."""
        self._ruleset_stale = self._links_stale = True

    def generation_moved(self) -> bool:
        """Ask the kernel whether the ruleset is still the one that was read. Costs microseconds."""
        try:
            now = self._world.firewall.generation()
        except ObserveError:
            return True
        return self._ruleset is None or now != max(self._ruleset.generation, self._announced, self._own_read)

    @property
    def blind(self) -> bool:
        """Whether something could not be read last time, so that it is worth trying again soon."""
        return bool(self._gaps)

    # --- readings ----------------------------------------------------------------------------------------------

    def own_table(self) -> tuple[Table | None, bool]:
        """Read the own table now; the flag says whether it could be read at all."""
        try:
            generation = self._world.firewall.generation()
            table = self._world.firewall.read_table(OWN_TABLE)
        except ObserveError as error:
            self._gap(Scope.RULESET, error)
            return None, False
        self._own_read = generation
        self._own_stale = False
        if self._ruleset is not None:
            self._put_own(table)
        return table, True

    def listeners(self) -> bool:
        """Read the listeners; says whether they differ from the last reading."""
        before = self._listeners
        self._listeners = self._read(Scope.LISTENERS, self._world.sockets.listeners)
        return self._listeners != before

    def snapshot(self) -> Snapshot:
        """Read what is stale, and give everything as it is now."""
        if self._ruleset_stale or self._ruleset is None:
            self._ruleset = self._read(Scope.RULESET, self._world.firewall.read)
            self._ruleset_stale = self._ruleset is None
            self._own_stale = False
        elif self._own_stale:
            _, read = self.own_table()
            self._ruleset_stale = not read
        self.listeners()
        if self._links_stale or self._links is None:
            self._links = self._read(Scope.ADDRESSES, self._world.links.read)
            self._links_stale = self._links is None
        legacy = self._read(Scope.LEGACY_TABLES, self._legacy)
        gaps = [*self._gaps.values(), *self.standing_gaps.values(), *self._world.sockets.owner_gaps()]
        if legacy:
            gaps.append(
                Gap(
                    scope=Scope.LEGACY_TABLES,
                    reason=f"tables {', '.join(legacy)} are in use, and nft cannot show their rules",
                )
            )
        if self._ruleset is not None:
            gaps += (
                Gap(scope=f"{Scope.RULESET} {key}", reason=reason)
                for key, reason in self._ruleset.unreadable.items()
            )
        return Snapshot(
            listeners=self._listeners,
            ruleset=self._ruleset,
            links=self._links,
            gaps=tuple(sorted(gaps)),
        )

    def sensitive(self) -> Mapping[int, str]:
        """Name what must never be exposed among the listeners last read."""
        return sensitive(self._listeners or ())

    def _put_own(self, table: Table | None) -> None:
        assert self._ruleset is not None
        tables = {key: row for key, row in self._ruleset.tables.items() if key != OWN_TABLE}
        if table is not None:
            tables[OWN_TABLE] = table
        self._ruleset = replace(self._ruleset, tables=tables)

    def _read(self, scope: Scope, read: Callable[[], T]) -> T | None:
        try:
            value = read()
        except ObserveError as error:
            self._gap(scope, error)
            return None
        self._gaps.pop(scope, None)
        return value

    def _gap(self, scope: Scope, error: ObserveError) -> None:
        self._gaps[scope] = Gap(scope=scope, reason=str(error))

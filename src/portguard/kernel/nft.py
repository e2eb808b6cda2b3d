"""The kernel's nftables ruleset: read whole or by table, written in atomic transactions."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from portguard.errors import NftError, ObserveError
from portguard.kernel.generation import ask_generation, open_generation
from portguard.kernel.libnftables import Libnftables
from portguard.kernel.nft_command import list_pieces, list_ruleset, list_table, list_text
from portguard.kernel.raw_rules import with_details
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.kernel.ruleset_text import join_text, needs_text
from portguard.kernel.tables import find_table, list_tables
from portguard.kernel.world import nothing
from portguard.model.ruleset import Ruleset, TableKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portguard.model.ruleset import Table
    from portguard.model.transaction import Transaction

OWN_TABLE = TableKey("inet", "portguard")
_TRIES = 5
_TIMEOUT = 10.0
"""Seconds for one table, or for all of them one by one."""
_NOT_PERMITTED = "Operation not permitted"
"""libnftables gives no error number; its text is never translated, since nothing here sets a locale."""


class Nft:
    """The ruleset of the network namespace of the thread that makes it."""

    def __init__(self, own: TableKey = OWN_TABLE) -> None:
        """Open the sockets. ``own`` is the table that is small enough to be read in process. Raises ObserveError."""
        self._own = own
        self.meanwhile = nothing
        """Called every few milliseconds while others' tables are being listed. By raising it ends that."""
        self._library = Libnftables()
        self._asking = open_generation()

    @property
    def port_id(self) -> int:
        """Netlink port of the socket that commits."""
        return self._library.port_id

    def close(self) -> None:
        """Close the sockets."""
        self._asking.close()
        self._library.close()

    def generation(self) -> int:
        """Ask for the ruleset's generation. Raises ObserveError."""
        return ask_generation(self._asking)

    def read(self) -> Ruleset:
        """Read all tables as of one generation. Raises ObserveError."""
        for _ in range(_TRIES):
            generation = self.generation()
            try:
                ruleset = self._read_all(generation)
            except ObserveError:
                if self.generation() == generation:
                    raise
                # A table that vanished while it was listed is not a fault of the ruleset.
                continue
            if self.generation() == generation:
                return ruleset
        raise ObserveError(f"the ruleset changed {_TRIES} times while it was being read")

    def read_table(self, key: TableKey) -> Table | None:
        """Read one table; None when there is none of that name. Raises ObserveError."""
        for _ in range(_TRIES):
            generation = self.generation()
            try:
                return self._read_table(key, generation, monotonic() + _TIMEOUT, in_process=key == self._own)
            except ObserveError as error:
                if self.generation() == generation:
                    raise ObserveError(f"table {key}: {error}") from error
        raise ObserveError(f"the ruleset changed {_TRIES} times while table {key} was being read")

    def check(self, tx: Transaction) -> None:
        """Let the kernel judge the transaction without taking it. Raises NftError."""
        self._run(tx, dry_run=True)

    def commit(self, tx: Transaction) -> int:
        """Apply the transaction; returns a generation that holds it. Raises NftError.

        It is the one that the commit produced, or a later one when somebody else commits in the same microseconds.
        """
        self._run(tx, dry_run=False)
        return self.generation()

    def _run(self, tx: Transaction, *, dry_run: bool) -> None:
        """Hand a transaction to libnftables; an empty one is not sent."""
        if not tx:
            return
        _, error = self._library.run(tx.to_json(), dry_run=dry_run)
        if error is not None:
            raise NftError(
                f"the kernel refused the transaction: {error}",
                transaction=str(tx),
                not_permitted=_NOT_PERMITTED in error,
            )

    def _read_all(self, generation: int) -> Ruleset:
        """Read all tables, in whatever way fits them. Raises ObserveError."""
        found = list_tables(self._asking)
        tables: dict[TableKey, Table] = {}
        unreadable: dict[TableKey, str] = {}
        if found.keys() <= {self._own}:
            own = self.read_table(self._own) if found else None
            return Ruleset(generation=generation, tables={} if own is None else {self._own: own})
        try:
            document, terse = list_ruleset(self.meanwhile)
            whole = parse_ruleset(document, generation=generation, terse=terse)
        except ObserveError:
            whole = self._read_each(found, generation)
        for key, (_, flags) in found.items():
            if key in whole.tables:
                tables[key] = replace(whole.tables[key], flags=flags)
            else:
                unreadable[key] = whole.unreadable.get(key, "the listing does not hold it")
        return self._with_text(Ruleset(generation=generation, tables=tables, unreadable=unreadable), None)

    def _with_text(self, ruleset: Ruleset, key: TableKey | None) -> Ruleset:
        """Fill in what the JSON left out. Where the text cannot be had either, that stays opaque. Raises ObserveError."""
        ruleset = with_details(ruleset, self._asking)
        if needs_text(ruleset):
            with suppress(ObserveError):
                ruleset = join_text(ruleset, list_text(key, monotonic() + _TIMEOUT, self.meanwhile))
        return with_details(ruleset, self._asking)

    def _read_each(self, keys: Iterable[TableKey], generation: int) -> Ruleset:
        """Read each table by itself, so that one that cannot be read hides no other."""
        tables: dict[TableKey, Table] = {}
        unreadable: dict[TableKey, str] = {}
        until = monotonic() + _TIMEOUT
        waiting = list(keys)
        while waiting:
            key = waiting.pop(0)
            # One that takes too long leaves the others their share.
            share = (until - monotonic()) / (len(waiting) + 1)
            try:
                table = self._read_table(key, generation, monotonic() + share, in_process=key == self._own)
            except ObserveError as error:
                unreadable[key] = str(error)
                continue
            if table is not None:
                tables[key] = table
        return Ruleset(generation=generation, tables=tables, unreadable=unreadable)

    def _read_table(self, key: TableKey, generation: int, until: float, *, in_process: bool) -> Table | None:
        """Read one table, unless printing its flags is dangerous in process. Raises ObserveError."""
        found = find_table(self._asking, key)
        if found is None:
            return None
        terse = False
        if found.flags:
            document, terse = list_pieces(key, until, self.meanwhile)
        elif in_process:
            document = self._library.listing({"table": {"family": key.family, "name": key.name}})
        else:
            document, terse = list_table(key, until, self.meanwhile)
        ruleset = parse_ruleset(document, generation=generation, terse=terse)
        if key not in ruleset.tables:
            raise ObserveError(ruleset.unreadable.get(key, "the listing does not hold it"))
        table = replace(ruleset.tables[key], handle=found.handle, flags=found.flags)
        return self._with_text(replace(ruleset, tables={key: table}), key).tables[key]

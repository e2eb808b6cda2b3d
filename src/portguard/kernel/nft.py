"""The kernel's nftables ruleset: read whole or by table, written in atomic transactions."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from portguard.errors import NftError, ObserveError
from portguard.kernel.generation import ask_generation, open_generation
from portguard.kernel.libnftables import Libnftables, parse_document
from portguard.kernel.nft_command import TooLargeError, list_as_json
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.ruleset import Ruleset, TableKey

if TYPE_CHECKING:
    from portguard.model.ruleset import Json, Table
    from portguard.model.transaction import Transaction

OWN_TABLE = TableKey("inet", "portguard")
_TRIES = 5
_TIMEOUT = 10.0
"""Seconds for one listing; 10,000 rules take 0.2."""
_NOT_PERMITTED = "Operation not permitted"
"""libnftables gives no error number; its text is never translated, since nothing here sets a locale."""


class Nft:
    """The ruleset of the network namespace of the thread that makes it."""

    def __init__(self, own: TableKey = OWN_TABLE) -> None:
        """Open the sockets. ``own`` is the table that is small enough to be read in process. Raises ObserveError."""
        self._own = own
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
        """Read one table in process; None when there is none of that name. Raises ObserveError."""
        for _ in range(_TRIES):
            generation = self.generation()
            document, error = self._library.listing({"table": {"family": key.family, "name": key.name}})
            if error is None:
                ruleset = parse_ruleset(document, generation=generation)
                if key in ruleset.unreadable:
                    raise ObserveError(f"table {key}: {ruleset.unreadable[key]}")
                if key in ruleset.tables:
                    return ruleset.tables[key]
            # Asked again in another way: "No such file" is also what a broken object inside a table says.
            elif key not in self._keys():
                return None
            if self.generation() == generation:
                raise ObserveError(f"table {key}: {error or 'the listing does not hold it'}")
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

    def _keys(self) -> tuple[TableKey, ...]:
        """Name the tables that exist, in the kernel's order. Raises ObserveError."""
        document, error = self._library.listing({"tables": None})
        if error is not None:
            raise ObserveError(f"cannot list tables: {error}")
        rows = (row["table"] for row in document["nftables"] if "table" in row)
        return tuple(TableKey(row["family"], row["name"]) for row in rows)

    def _read_all(self, generation: int) -> Ruleset:
        """Read all tables, in whatever way fits them. Raises ObserveError."""
        keys = self._keys()
        if not keys:
            return Ruleset(generation=generation, tables={})
        if keys == (self._own,):
            own = self.read_table(self._own)
            return Ruleset(generation=generation, tables={} if own is None else {self._own: own})
        try:
            document, terse = _listing("ruleset")
            return parse_ruleset(document, generation=generation, terse=terse)
        except ObserveError:
            return self._read_each(keys, generation)

    def _read_each(self, keys: tuple[TableKey, ...], generation: int) -> Ruleset:
        """Read each table by itself, so that one that cannot be read hides no other."""
        tables: dict[TableKey, Table] = {}
        unreadable: dict[TableKey, str] = {}
        until = monotonic() + _TIMEOUT
        for key in keys:
            try:
                document, terse = _listing("table", key.family, key.name, timeout=until - monotonic())
                part = parse_ruleset(document, generation=generation, terse=terse)
            except ObserveError as error:
                unreadable[key] = str(error)
                continue
            tables |= part.tables
            unreadable |= part.unreadable
            if key not in tables:
                unreadable.setdefault(key, "the listing does not hold it")
        return Ruleset(generation=generation, tables=tables, unreadable=unreadable)


def _listing(*what: str, timeout: float = _TIMEOUT) -> tuple[Json, bool]:
    """List by the ``nft`` program; without the elements of sets where all is too large. Raises ObserveError."""
    try:
        return parse_document(list_as_json(*what, timeout=timeout)), False
    except TooLargeError:
        return parse_document(list_as_json(*what, timeout=timeout, terse=True)), True

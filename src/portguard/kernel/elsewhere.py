"""A service in another network namespace than the host's sees nothing of the host, and must not call it fine.

``PrivateNetwork=``, ``NetworkNamespacePath=`` or ``JoinsNamespaceOf=`` in a drop-in give the daemon a network with no
listener and no rule: an empty one, which looks just like a server on which all is quiet. So a daemon that was started by the
service manager compares its namespace with that of process 1. Who starts it by hand in a namespace, as the lab and the tests
do, means that namespace.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from portguard.errors import NftError, ObserveError
from portguard.kernel.world import nothing
from portguard.model.snapshot import Gap, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portguard.kernel.world import World
    from portguard.model.listener import Listener
    from portguard.model.net import AddressSet
    from portguard.model.ruleset import Ruleset, Table, TableKey
    from portguard.model.snapshot import Connection, Links
    from portguard.model.transaction import Transaction

_OWN = Path("/proc/self/ns/net")
_HOST = Path("/proc/1/ns/net")
"""Readable with CAP_SYS_PTRACE, which the service has."""

ELSEWHERE = (
    "this service runs in a network namespace of its own, not in the host's, so nothing that it sees is true of the host"
    " (PrivateNetwork= or the like in its unit: systemctl cat portguard)"
)


def is_service(environ: Mapping[str, str], parent: int) -> bool:
    """Say whether the service manager started this process: it is the parent, and it names the invocation."""
    return parent == 1 and bool(environ.get("INVOCATION_ID"))


def namespace_gap(own: Path = _OWN, host: Path = _HOST) -> Gap | None:
    """Say why this process cannot see the host's network, if so."""
    try:
        here, there = own.stat(), host.stat()
    except OSError as error:
        reason = f"{error.filename} cannot be read ({error.strerror}), so whether this is the host's cannot be told"
        return Gap(scope=Scope.NAMESPACE, reason=reason)
    if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
        return None
    return Gap(scope=Scope.NAMESPACE, reason=ELSEWHERE)


def of_the_host(world: World) -> World:
    """Give the world as it is where it is the host's, or where nobody promised that; else one that cannot be read."""
    if not is_service(os.environ, os.getppid()):
        return world
    gap = namespace_gap()
    return world if gap is None else unseen(world, gap)


def unseen(world: World, gap: Gap) -> World:
    """Give a world of which nothing can be read and to which nothing is written, for one reason."""
    return replace(
        world,
        firewall=_Firewall(gap=gap, port_id=world.firewall.port_id),
        sockets=_Sockets(gap=gap),
        links=_Links(gap=gap),
        peers=_Peers(gap=gap),
    )


def _blind(gap: Gap) -> NoReturn:
    raise ObserveError(f"{gap.scope}: {gap.reason}")


class _Firewall:
    def __init__(self, *, gap: Gap, port_id: int) -> None:
        self.gap = gap
        self.port_id = port_id
        self.meanwhile: Callable[[], None] = nothing

    def generation(self) -> int:
        """Refuse."""
        _blind(self.gap)

    def read(self) -> Ruleset:
        """Refuse."""
        _blind(self.gap)

    def read_table(self, key: TableKey) -> Table | None:  # noqa: ARG002 - the shape of a firewall
        """Refuse."""
        _blind(self.gap)

    def check(self, tx: Transaction) -> None:
        """Refuse."""
        raise NftError(self.gap.reason, transaction=str(tx))

    def commit(self, tx: Transaction) -> int:
        """Refuse: what is written here helps nobody on the host."""
        raise NftError(self.gap.reason, transaction=str(tx))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sockets:
    gap: Gap

    def expect(self, processes: frozenset[int]) -> None:
        """Nothing is looked for."""

    def listeners(self) -> tuple[Listener, ...]:
        """Refuse."""
        _blind(self.gap)

    def owner_gaps(self) -> tuple[Gap, ...]:
        """Name the reason of all of it."""
        return (self.gap,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    gap: Gap

    def read(self) -> Links:
        """Refuse."""
        _blind(self.gap)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peers:
    gap: Gap

    def connections(self, networks: AddressSet) -> tuple[Connection, ...]:  # noqa: ARG002 - the shape of a reader
        """Refuse."""
        _blind(self.gap)

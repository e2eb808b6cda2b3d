"""What an evaluation looked at on its way: where another one finds the same, it ends the same.

Nothing else of a ruleset has a say but its base chains in their order (see ``hooks``) and, of each chain that is entered, the
rules that concern the packets. So one evaluation answers for all ports between which those rules cannot tell, and for
the rulesets after a change that touched none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable

    from portguard.core.path.chains import Concern
    from portguard.core.path.packet import Packet
    from portguard.core.path.tables import CompiledTable
    from portguard.model.ruleset import TableKey

ASKED: Final = -1
"""Stands for the port that was asked about, whichever that is."""


class Step(NamedTuple):
    """A chain entered, and by what packets."""

    table: TableKey
    chain: str
    version: int
    transport: str
    port: int | None
    """``ASKED``, or what a translation made of it (None: not known)."""
    interfaces: frozenset[str]

    @classmethod
    def of(cls, table: TableKey, chain: str, packet: Packet, interfaces: frozenset[str]) -> Step:
        """Describe packets that enter a chain."""
        port = packet.port if packet.translated or packet.port is None else ASKED
        return cls(table, chain, packet.version, packet.transport, port, interfaces)


class Found(NamedTuple):
    """What a step found: two that are equal lead on the same way."""

    concern: Concern
    piece: Hashable
    """Of the ports that the rules tell apart."""
    ends: tuple[bool, bool] | None
    """What the chain can end in (:meth:`~portguard.core.path.tables.CompiledTable.ends`)."""


class Footprint:
    """The steps of one evaluation, each noted once."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self.steps: dict[Step, Found] = {}
        self.translated = False
        """A translation may have been made: what it says of the port is told in the answer."""

    def step(self, step: Step, table: CompiledTable) -> Concern:
        """Note a step; gives the rules that concern its packets."""
        found = self.steps.get(step)
        if found is None:
            found = self.steps[step] = look(step, table, self._port)
        return found.concern


def look(step: Step, table: CompiledTable, port: int | None) -> Found:
    """Find what a step finds in a table, when the port asked about is this one."""
    at = port if step.port == ASKED else step.port
    concern = table.chain(step.chain).concerning(step.version, step.transport, at, step.interfaces)
    return Found(concern, concern.piece(at), table.ends(step.chain))

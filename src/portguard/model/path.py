"""The answer of a path evaluation: which sources get through to a port, and which rule decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from portguard.model.net import AddressSet

if TYPE_CHECKING:
    from portguard.model.net import Transport
    from portguard.model.ruleset import RuleRef


class Outcome(StrEnum):
    """What happens to a new packet of a class."""

    OPEN = "open"
    REFUSED = "refused"
    """Rejected: the client is told."""
    DROPPED = "dropped"
    UNKNOWN = "unknown"
    """A construct on the way could not be read or understood: no guess is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule or policy that the packet met on its way and that mattered."""

    at: RuleRef
    effect: str
    """``jump X``, ``accept``, ``drop``, ``translated to port 5515``, ``may match: …``"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """All sources that meet the same fate for the same reason."""

    sources: AddressSet
    outcome: Outcome
    by: RuleRef | None
    """What decides; None when nothing on the path has a say (no base chain at all)."""
    general: bool = False
    """The deciding drop is a policy, or a rule that names neither sources nor this port: a default, not a ban."""
    reason: str | None = None
    """Why it is unknown; with ``dropped``, that some packets may be refused instead."""
    trail: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathClass:
    """The packets one asks about: new connections from the network to one port of this host."""

    transport: Transport
    port: int | None
    """None for ICMP (echo request)."""
    destination: AddressSet
    """Own addresses that the listener serves; what is not bound there is not asked about."""
    interfaces: tuple[str, ...] | None = None
    """Interfaces by which the sources may come in; None: any but loopback."""
    sources: AddressSet


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReport:
    """Partition of the sources asked about: the branches are disjoint and cover all of them."""

    branches: tuple[Branch, ...]

    def having(self, outcome: Outcome) -> AddressSet:
        """Sources that meet one outcome."""
        out = AddressSet()
        for branch in self.branches:
            if branch.outcome is outcome:
                out |= branch.sources
        return out

    def within(self, sources: AddressSet) -> PathReport:
        """Narrow the report to some of the sources."""
        return PathReport(
            branches=tuple(
                Branch(
                    sources=shared,
                    outcome=branch.outcome,
                    by=branch.by,
                    general=branch.general,
                    reason=branch.reason,
                    trail=branch.trail,
                )
                for branch in self.branches
                # A report may have hundreds of branches, and a zone lies in a few of them.
                if _near(branch.sources, sources) and (shared := branch.sources & sources)
            )
        )


def _near(left: AddressSet, right: AddressSet) -> bool:
    """Whether two sets overlap as far as their ends tell."""
    return bool(
        (left.v4 and right.v4 and left.v4[0][0] <= right.v4[-1][1] and right.v4[0][0] <= left.v4[-1][1])
        or (left.v6 and right.v6 and left.v6[0][0] <= right.v6[-1][1] and right.v6[0][0] <= left.v6[-1][1])
    )

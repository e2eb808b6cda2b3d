"""What a step of the scenario is: a blow, what must follow, and how the world is put back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from portguard.lab.ports import Probe
    from portguard.lab.stage import Stage
    from portguard.model.finding import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A connection and what must become of it; None where either is right."""

    probe: Probe
    before: str
    struck: str | None
    """After the blow; where the step is watched and healed, some attempt until then must have this outcome."""
    after: str


class Step(ABC):
    """One step. Its methods are called in the order in which they stand here."""

    name: ClassVar[str]
    """What ``--scenario`` takes."""
    title: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]
    """Events that the daemon must send."""
    heals: ClassVar[bool] = True
    """Whether the daemon must heal it; without, it must report, and see when it is over."""
    same_table: ClassVar[bool] = False
    """Whether portguard's table must afterwards hold exactly what it held before."""

    def not_here(self, stage: Stage) -> str | None:  # noqa: ARG002 - most steps fit every role
        """Say why the step makes no sense on this stage; None where it does."""
        return None

    @abstractmethod
    def expectations(self, stage: Stage) -> list[Expectation]:
        """Connections to look at; where there are any, the first one is watched."""

    @abstractmethod
    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Do the damage. Returns the commands, for people."""

    def extra_kinds(self, stage: Stage) -> tuple[Kind, ...]:  # noqa: ARG002 - for steps that depend on the role
        """Name further events that the daemon must send on this stage."""
        return ()

    def undo(self, stage: Stage) -> None:  # noqa: B027 - many steps leave nothing behind once they are healed
        """Put the world back."""

"""Steps 6 to 9: a listener dies, something dangerous listens, a reserved address appears."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from portguard.errors import LabError
from portguard.lab import exposed
from portguard.lab.ports import Probe, undocumented
from portguard.lab.prober import OPEN, REFUSED
from portguard.lab.ruleset_steps import nth
from portguard.lab.step import Expectation, Step
from portguard.model.finding import Kind

if TYPE_CHECKING:
    from portguard.lab.stage import Stage


class ListenerDied(Step):
    """A required port has no listener any more."""

    name: ClassVar = "listener-died"
    title: ClassVar = "A listener dies"
    kinds: ClassVar = (Kind.LISTENER_MISSING,)
    heals: ClassVar = False

    def not_here(self, stage: Stage) -> str | None:
        """Skip it where the role demands no listener: a missing one is then no finding."""
        return None if _required_ports(stage) else "the role requires no listener that others reach"

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Expect refusal while it is away."""
        probe = _required(stage)
        return [
            Expectation(probe=row, before=OPEN, struck=REFUSED, after=OPEN)
            for row in stage.documented
            if (row.transport, row.port) == (probe.transport, probe.port)
        ]

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Close its socket."""
        probe = _required(stage)
        stage.listeners.ask("close", listeners=[_spec(stage, probe)])
        return (f"the listener on {probe.port}/{probe.transport} closes its socket",)

    def undo(self, stage: Stage) -> None:
        """Open it again."""
        failed = stage.listeners.ask("open", listeners=[_spec(stage, _required(stage))])["failed"]
        if failed:
            raise LabError(f"the listener cannot come back: {failed[0][2]}")


class _Exposed(Step):
    """Something that must never be reachable listens on every address."""

    application: ClassVar[exposed.Application]
    wish: ClassVar[int]
    kinds: ClassVar = (Kind.SERVICE_EXPOSED,)
    heals: ClassVar = False

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Expect a stranger to get in: in mode ``heal`` portguard reports, and closes nothing."""
        return [Expectation(probe=self._probe(stage), before=REFUSED, struck=OPEN, after=REFUSED)]

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Start it, and let a stranger talk to it."""
        probe = self._probe(stage)
        child, real = exposed.start(
            self.application,
            stage.run,
            stage.network.namespace("server"),
            probe.port,
            lambda: stage.talk(probe, self.application.question),
        )
        stage.guests.append(child)
        kind = "" if real else " (a stand-in: it is not installed here)"
        answer = stage.talk(probe, self.application.question)[:16]
        return (
            f"{self.application.name} starts on 0.0.0.0:{probe.port}{kind}",
            f"a stranger sends {self.application.question!r} and gets {answer!r}",
        )

    def undo(self, stage: Stage) -> None:
        """End it."""
        while stage.guests:
            stage.guests.pop().stop()

    def _probe(self, stage: Stage) -> Probe:
        return Probe(
            source=stage.topology.stranger,
            zone="stranger",
            flow="",
            transport="tcp",
            port=undocumented(stage.policy, self.wish),
        )


class RedisExposed(_Exposed):
    """Redis without a password on every address."""

    name: ClassVar = "redis-exposed"
    title: ClassVar = "Redis listens on 0.0.0.0, on a port that nobody documents"
    application: ClassVar = exposed.REDIS
    wish: ClassVar = 6390


class JmxExposed(_Exposed):
    """A JVM whose JMX agent asks nobody for a password."""

    name: ClassVar = "jmx-exposed"
    title: ClassVar = "A JVM opens JMX on 0.0.0.0"
    application: ClassVar = exposed.JMX
    wish: ClassVar = 9010


class ReservedAddress(Step):
    """An address of the reserved range stands on an interface."""

    name: ClassVar = "reserved-address"
    title: ClassVar = "An address of the reserved range appears on an interface"
    kinds: ClassVar = (Kind.RESERVED_ADDRESS_IN_USE,)
    heals: ClassVar = False

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Expect nothing else to change."""
        return [Expectation(probe=nth(stage, 0)[0], before=OPEN, struck=OPEN, after=OPEN)]

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Add the address."""
        command = ["ip", "address", "add", _reserved(stage), "dev", "eth0"]
        stage.server(*command)
        return (" ".join(command),)

    def undo(self, stage: Stage) -> None:
        """Remove the address."""
        stage.server("ip", "address", "delete", _reserved(stage), "dev", "eth0")


def _reserved(stage: Stage) -> str:
    """Give the tenth address of the first reserved IPv4 range, with its prefix length."""
    network = next(iter(replace(stage.policy.reserved, v6=()).networks()), None)
    if network is None:
        raise LabError("the catalogue reserves no IPv4 range")
    return f"{network[min(10, network.num_addresses - 1)]}/{network.prefixlen}"


def _required_ports(stage: Stage) -> list[Probe]:
    """List a connection to each port whose listener must not be missing, TCP first."""
    expected = {
        (service.transport.value, service.ports.first)
        for service in stage.policy.inbound
        if service.listener_expected and service.ports is not None and not service.local
    }
    rows = {
        (row.transport, row.port): row for row in stage.documented if (row.transport, row.port) in expected
    }
    return sorted(rows.values(), key=lambda row: row.transport)


def _required(stage: Stage) -> Probe:
    """Pick one; not the first two, which other steps strike."""
    rows = _required_ports(stage)
    return rows[min(2, len(rows) - 1)]


def _spec(stage: Stage, probe: Probe) -> tuple[str, int, bool]:
    return next(spec for spec in stage.standing if spec[:2] == (probe.transport, probe.port))

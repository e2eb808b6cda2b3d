"""The shape of ``portguard.toml`` as pydantic models.

pydantic walks the tables and finds what is missing and what does not belong; the validators of
:mod:`portguard.config.checks` read the values. Only the short-lived child imports this module: pydantic costs 20 MB
that a daemon should not keep.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from portguard.config import checks, values
from portguard.model.config import Intervals
from portguard.model.net import IPNetwork, PortRange
from portguard.model.paths import Paths
from portguard.model.policy import HealLimits, Manager, Mode

AUTO = "auto"
MANAGERS = (AUTO, *(name.value for name in Manager if name is not Manager.UNKNOWN))

Ports = Annotated[PortRange, checks.by(values.ports)]
Protocol = Annotated[str, checks.by(values.choice, names=("tcp", "udp"))]
Far = Annotated[str, PlainValidator(checks.far_side), Field(alias="from")]
Duration = Annotated[float, checks.by(values.seconds, least=0.0)]
Interval = Annotated[float, checks.by(values.seconds, least=0.05)]
Confirmation = Annotated[float, checks.by(values.seconds, least=1.0)]
Count = Annotated[int, checks.by(values.count, least=1, most=1_000_000)]
File = Annotated[Path, checks.by(values.path)]


class Section(BaseModel):
    """A table of the file: frozen, and nothing but its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Inbound(Section):
    """``[[failsafe.inbound]]``: a port that is never closed."""

    transport: Protocol
    port: Ports
    zone: Far


class FailsafeTable(Section):
    """``[failsafe]``."""

    inbound: list[Inbound] = []


class ExtraTable(Section):
    """``[[extra]]``: what this site runs beside the product."""

    transport: Protocol
    port: Ports
    zone: Far
    unit: Annotated[str, checks.by(values.unit)] | None = None
    reason: Annotated[str, checks.by(values.text)]


class ReservedTable(Section):
    """``[reserved]``."""

    ranges: Annotated[tuple[IPNetwork, ...], PlainValidator(checks.ranges)] = ()
    allow_interfaces: Annotated[tuple[str, ...], PlainValidator(checks.patterns)] = ()


_LIMITS = HealLimits()
_INTERVALS = Intervals()
_PATHS = Paths()
_CONFIRM_WITHIN = 120.0


class HealTable(Section):
    """``[heal]``: when portguard stops fighting another writer."""

    max_heals: Count = _LIMITS.max_heals
    window: Interval = _LIMITS.window
    retry_first: Interval = _LIMITS.retry_first
    retry_max: Interval = _LIMITS.retry_max
    settle: Duration = _LIMITS.settle
    writer_burst: Count = _LIMITS.writer_burst
    writer_interval: Duration = _LIMITS.writer_interval

    @model_validator(mode="after")
    def _retries_grow(self) -> Self:
        if self.retry_max < self.retry_first:
            wrong = checks.Wrong()
            message = f"{self.retry_max:g} s is shorter than retry_first, {self.retry_first:g} s"
            wrong.faults.append((("retry_max",), message))
            wrong.end()
        return self


class IntervalsTable(Section):
    """``[intervals]``: how often the daemon looks where nothing tells it of a change."""

    listeners: Interval = _INTERVALS.listeners
    full: Interval = _INTERVALS.full
    heartbeat: Interval = _INTERVALS.heartbeat


class ListenerTable(Section):
    """``[listener]``."""

    grace: Duration = 30.0


class ContainTable(Section):
    """``[contain]``: closing what is exposed."""

    confirm_within: Confirmation = _CONFIRM_WITHIN


class PathsTable(Section):
    """``[paths]``."""

    status: File = _PATHS.status
    state: File = _PATHS.state
    catalogue: File = _PATHS.catalogue
    trace: File = _PATHS.trace


class Document(Section):
    """The whole of the configuration, files and environment together."""

    role: Annotated[tuple[str, ...], PlainValidator(checks.roles)] = ()
    mode: Annotated[str, checks.by(values.choice, names=tuple(Mode))] = Mode.OBSERVE
    manager: Annotated[str, checks.by(values.choice, names=MANAGERS)] = AUTO
    features: Annotated[tuple[str, ...], PlainValidator(checks.features)] = ()
    zones: Annotated[dict[str, tuple[IPNetwork, ...]], PlainValidator(checks.zones)] = {}
    hosts: Annotated[dict[str, tuple[IPNetwork, ...]], PlainValidator(checks.hosts)] = {}
    settings: Annotated[dict[str, PortRange], PlainValidator(checks.settings)] = {}
    failsafe: FailsafeTable = FailsafeTable()
    extra: list[ExtraTable] = []
    reserved: ReservedTable = ReservedTable()
    heal: HealTable = HealTable()
    intervals: IntervalsTable = IntervalsTable()
    listener: ListenerTable = ListenerTable()
    contain: ContainTable = ContainTable()
    paths: PathsTable = PathsTable()


TABLES: dict[tuple[str, ...], type[Section]] = {
    (): Document,
    ("failsafe",): FailsafeTable,
    ("failsafe", "inbound"): Inbound,
    ("extra",): ExtraTable,
    ("reserved",): ReservedTable,
    ("heal",): HealTable,
    ("intervals",): IntervalsTable,
    ("listener",): ListenerTable,
    ("contain",): ContainTable,
    ("paths",): PathsTable,
}
"""Which model reads which table, by the names on the way."""


def keys_of(table: type[Section]) -> list[str]:
    """Keys that a table of the file may have, as they are written there."""
    return [field.alias or name for name, field in table.model_fields.items()]

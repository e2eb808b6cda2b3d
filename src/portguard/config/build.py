"""Read, merge, validate: from files and environment to a :class:`~portguard.model.config.Config`, or every fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from portguard.config.environment import read_environment
from portguard.config.known import Known
from portguard.config.schema import AUTO, Document
from portguard.config.sources import ENVIRONMENT, Layer, merge, origin, read_files
from portguard.config.translate import NO_ROLE, faults_of
from portguard.errors import ConfigError
from portguard.model.config import Config, Extra, Failsafe, Intervals
from portguard.model.net import AddressSet, Transport
from portguard.model.paths import Paths
from portguard.model.policy import HealLimits, Manager, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portguard.errors import Fault
    from portguard.model.flow import Catalogue


class Sources:
    """Everything that was found, before it is judged."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        files = read_files(path)
        variables, strangers = read_environment(environ, files.digest)
        self.layers: list[Layer] = [*files.layers, *([variables] if variables else [])]
        self.complete = not files.faults
        """Whether every file could be read and is TOML."""
        self.faults: list[Fault] = [*files.faults, *strangers]
        self.files = tuple(files.paths)
        self.digest: str = files.digest.hexdigest()
        self.document: dict[str, Any] = merge(self.layers)
        self._order = [*(str(file) for file in files.paths), ENVIRONMENT]

    def in_order(self, faults: list[Fault]) -> list[Fault]:
        """Sort faults as one would come across them reading the files."""
        rank = {name: number for number, name in enumerate(self._order)}
        return sorted(faults, key=lambda fault: (rank.get(fault.file, -1), fault.line or 0))


def validate(sources: Sources, catalogue: Catalogue, *, names: bool = True) -> Config:
    """Judge what was found.

    With ``names=False`` no name is called unknown, for when a part of the catalogue could not be read.
    Raises ConfigError with every fault.
    """
    faults = list(sources.faults)
    document = None
    if sources.layers:
        known = Known.of(catalogue, sources.document, names=names and sources.complete)
        try:
            document = Document.model_validate(sources.document, context=known)
        except ValidationError as error:
            faults += faults_of(error, sources.layers)
    if sources.complete and document is not None and not document.role and document.mode != Mode.OBSERVE:
        # A server that nobody has said anything about yet is observed. Without a role nothing is documented, so there is
        # nothing to open, and everything to close.
        place = ("mode",)
        faults.append(origin(sources.layers, place).fault(place, NO_ROLE.format(mode=document.mode)))
    if faults or document is None:
        raise ConfigError(sources.in_order(faults))
    return _config(document, sources)


def load(path: Path, catalogue: Catalogue, environ: Mapping[str, str]) -> Config:
    """Read and validate a configuration. Raises ConfigError with every fault of every file."""
    return validate(Sources(path, environ), catalogue)


def _config(document: Document, sources: Sources) -> Config:
    return Config(
        roles=document.role,
        mode=Mode(document.mode),
        manager=None if document.manager == AUTO else Manager(document.manager),
        features=document.features,
        zones={name: AddressSet.of(*nets) for name, nets in document.zones.items()},
        hosts={name: AddressSet.of(*nets) for name, nets in document.hosts.items()},
        settings=dict(document.settings),
        failsafe=tuple(
            Failsafe(transport=Transport(row.transport), ports=row.port, zone=row.zone)
            for row in document.failsafe.inbound
        ),
        extra=tuple(
            Extra(
                transport=Transport(row.transport),
                ports=row.port,
                zone=row.zone,
                unit=row.unit,
                reason=row.reason,
            )
            for row in document.extra
        ),
        reserved=document.reserved.ranges,
        reserved_interfaces=document.reserved.allow_interfaces,
        limits=HealLimits(**dict(document.heal)),
        intervals=Intervals(**dict(document.intervals)),
        listener_grace=document.listener.grace,
        confirm_within=document.contain.confirm_within,
        paths=Paths(**dict(document.paths)),
        files=sources.files,
        digest=sources.digest,
    )

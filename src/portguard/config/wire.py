"""A configuration, or its faults, as JSON between the child that validates and the daemon. The round trip is exact."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.errors import ConfigError, Fault
from portguard.model.config import Config, Extra, Failsafe, Intervals
from portguard.model.net import AddressSet, PortRange, Transport
from portguard.model.paths import Paths
from portguard.model.policy import HealLimits, Manager, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = 1


def dump(config: Config) -> str:
    """Spell a configuration."""
    return json.dumps({"schema": SCHEMA, "config": _plain(config)}, indent=1)


def dump_faults(faults: Iterable[Fault]) -> str:
    """Spell what is wrong with a configuration."""
    return json.dumps({"schema": SCHEMA, "faults": [asdict(fault) for fault in faults]}, indent=1)


def parse(text: str) -> Config:
    """Read what the other two wrote.

    Raises ConfigError for faults, ValueError, KeyError or TypeError for anything else.
    """
    document = json.loads(text)
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']} is not {SCHEMA}")
    if "faults" in document:
        raise ConfigError(Fault(**row) for row in document["faults"])
    return _config(document["config"])


def _plain(config: Config) -> dict[str, Any]:
    return {
        "roles": list(config.roles),
        "mode": config.mode,
        "manager": config.manager,
        "features": list(config.features),
        "zones": {name: _networks(addresses) for name, addresses in config.zones.items()},
        "hosts": {name: _networks(addresses) for name, addresses in config.hosts.items()},
        "settings": {name: str(ports) for name, ports in config.settings.items()},
        "failsafe": [
            {"transport": row.transport, "ports": str(row.ports), "zone": row.zone} for row in config.failsafe
        ],
        "extra": [
            {
                "transport": row.transport,
                "ports": str(row.ports),
                "zone": row.zone,
                "unit": row.unit,
                "reason": row.reason,
            }
            for row in config.extra
        ],
        "reserved": [str(net) for net in config.reserved],
        "reserved_interfaces": list(config.reserved_interfaces),
        "limits": asdict(config.limits),
        "intervals": asdict(config.intervals),
        "listener_grace": config.listener_grace,
        "confirm_within": config.confirm_within,
        "paths": {name: str(path) for name, path in asdict(config.paths).items()},
        "files": [str(path) for path in config.files],
        "digest": config.digest,
    }


def _config(row: dict[str, Any]) -> Config:
    return Config(
        roles=tuple(row["roles"]),
        mode=Mode(row["mode"]),
        manager=None if row["manager"] is None else Manager(row["manager"]),
        features=tuple(row["features"]),
        zones={name: AddressSet.of(*networks) for name, networks in row["zones"].items()},
        hosts={name: AddressSet.of(*networks) for name, networks in row["hosts"].items()},
        settings={name: PortRange.parse(ports) for name, ports in row["settings"].items()},
        failsafe=tuple(
            Failsafe(
                transport=Transport(item["transport"]),
                ports=PortRange.parse(item["ports"]),
                zone=item["zone"],
            )
            for item in row["failsafe"]
        ),
        extra=tuple(
            Extra(
                transport=Transport(item["transport"]),
                ports=PortRange.parse(item["ports"]),
                zone=item["zone"],
                unit=item["unit"],
                reason=item["reason"],
            )
            for item in row["extra"]
        ),
        reserved=tuple(ipaddress.ip_network(net) for net in row["reserved"]),
        reserved_interfaces=tuple(row["reserved_interfaces"]),
        limits=HealLimits(**row["limits"]),
        intervals=Intervals(**row["intervals"]),
        listener_grace=row["listener_grace"],
        confirm_within=row["confirm_within"],
        paths=Paths(**{name: Path(path) for name, path in row["paths"].items()}),
        files=tuple(Path(path) for path in row["files"]),
        digest=row["digest"],
    )


def _networks(addresses: AddressSet) -> list[str]:
    return [str(net) for net in addresses.networks()]

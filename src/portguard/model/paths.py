"""Where portguard keeps its files, where nobody says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the daemon keeps its files."""

    status: Path = Path("/run/portguard/status.json")
    state: Path = Path("/var/lib/portguard")
    catalogue: Path = Path("/etc/portguard/catalogue.d")
    trace: Path = Path("/sys/kernel/tracing/instances/portguard")
    """The trace instance that announces listeners, as ``systemd/trace-setup`` makes it. It has one reader at a time."""

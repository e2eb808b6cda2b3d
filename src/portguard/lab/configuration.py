"""The configuration under which the lab's server is guarded: a real ``portguard.toml``, as an administrator writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from portguard.lab.topology import Topology

LISTENER_GRACE = 2.0
"""Seconds. The default of 30 s waits for services that restart; nothing restarts here."""


def text(roles: Iterable[str], topology: Topology, folder: Path, catalogue: Path) -> str:
    """Spell the file: the lab's networks as zones, its peer server as every other host, files below ``folder``.

    ``catalogue`` is the folder of this site's own products.
    """
    lines = [
        "# Written by `portguard lab` for one run; see docs/lab.md.",
        f"role = {json.dumps(list(roles))}",
        'mode = "heal"',
        "",
        "[zones]",
        *(f"{json.dumps(zone)} = {_texts(networks)}" for zone, networks in sorted(topology.zones.items())),
        "",
        "[hosts]",
        *(f"{json.dumps(name)} = {_texts(topology.peers)}" for name in topology.components),
        "",
        "[failsafe]",
        'inbound = [{ transport = "tcp", port = 22, from = "admins" }]',
        "",
        "[listener]",
        f"grace = {LISTENER_GRACE}",
        "",
        "[paths]",
        f"status = {json.dumps(str(folder / 'status.json'))}",
        f"state = {json.dumps(str(folder / 'state'))}",
        f"catalogue = {json.dumps(str(catalogue))}",
        # Its announcements are for the daemon that guards the machine: whoever reads them takes them away.
        f"trace = {json.dumps(str(folder / 'no-trace-instance'))}",
    ]
    return "\n".join(lines) + "\n"


def _texts(values: Iterable[object]) -> str:
    return json.dumps([str(value) for value in values])

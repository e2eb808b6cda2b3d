"""What the vendors document, asked of the catalogue and not of the daemon: the ports of a role, and who may come."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from host.harness.held import command
from host.harness.network import CLIENTS, NETWORKS

LONGEST_RANGE = 16
"""Ports of a documented range that are tried; of a longer one the products pick single ports at run time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One documented port of a role, and where its clients are."""

    flow: str
    transport: str
    number: int
    sources: tuple[str, ...]
    """Networks of the harness: zones, and ``servers`` for clients that are other components."""


@cache
def catalogue() -> dict[str, Any]:
    """Read ``portguard catalogue --json``."""
    words = [sys.executable, "-m", "portguard", "catalogue", "--json"]
    document: dict[str, Any] = json.loads(command(*words).stdout)
    return document


def components(role: str) -> frozenset[str]:
    """Components that run on a host of this role."""
    return frozenset(next(row["components"] for row in catalogue()["roles"] if row["id"] == role))


def ports(role: str) -> tuple[Port, ...]:
    """List the documented ports of a role that a client from outside may reach without any optional feature."""
    here = components(role)
    found = []
    for flow in catalogue()["flows"]:
        if (
            flow["server"] not in here
            or flow["need"] not in ("required", "optional")
            or flow["scope"] != "network"
        ):
            continue
        sources = tuple(sorted({where for client in flow["clients"] if (where := _where(client, here))}))
        spans = [span for span in flow["ports"] if span[1] - span[0] < LONGEST_RANGE and not flow["dynamic"]]
        found += [
            Port(flow=flow["id"], transport=transport, number=number, sources=sources)
            for transport in flow["transport"].split("+")
            for first, last in spans
            for number in range(first, last + 1)
            if sources and transport in ("tcp", "udp")
        ]
    return tuple(found)


def peers(role: str) -> tuple[str, ...]:
    """Components of other hosts that are documented clients of this role: the site keeps them on its ``servers``."""
    here = components(role)
    clients = {
        client for flow in catalogue()["flows"] if flow["server"] in here for client in flow["clients"]
    }
    return tuple(sorted(client for client in clients if "/" in client and client not in here))


def _where(client: str, here: frozenset[str]) -> str | None:
    """Name the network of a documented client; None for those that are on this host, or nowhere on this site."""
    if client == "any":
        return "strangers"
    if "/" in client:
        return CLIENTS if client not in here else None
    return client if client in NETWORKS else None

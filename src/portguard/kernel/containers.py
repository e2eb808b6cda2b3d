"""Networks that container engines are told to make, from their configuration. What runs already shows in addresses and routes."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean
from portguard.kernel.bounded import names, read_file
from portguard.model.snapshot import ContainerNetwork, Gap, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DOCKER = "etc/docker/daemon.json"
_FOLDERS = (
    ("etc/containers/networks", ".json"),
    ("var/lib/containers/storage/networks", ".json"),
    ("etc/cni/net.d", ".conflist"),
    ("etc/cni/net.d", ".conf"),
)
_DEEPEST = 8
"""Levels of a network's file; podman's and CNI's have five."""


def docker(document: Any, place: str) -> Iterator[ContainerNetwork]:
    """Read ``daemon.json``: the default bridge, and the pools that further networks are taken from."""
    if not isinstance(document, dict):
        return
    bridge = document.get("bridge")
    interface = bridge if isinstance(bridge, str) and bridge != "none" else "docker0"
    for key in ("bip", "bip6", "fixed-cidr", "fixed-cidr-v6"):
        yield from _network(place, key, document.get(key), interface)
    pools = document.get("default-address-pools")
    for pool in pools if isinstance(pools, list) else ():
        if isinstance(pool, dict):
            yield from _network(place, "default-address-pools", pool.get("base"), None)


def podman(document: Any, place: str) -> Iterator[ContainerNetwork]:
    """Read a network of podman's, or of a CNI plugin's: whatever is called a subnet anywhere in it."""
    if not isinstance(document, dict):
        return
    name = document.get("name")
    yield from _subnets(document, place, name if isinstance(name, str) else "", None, _DEEPEST)


def _subnets(
    value: Any, place: str, name: str, interface: str | None, levels: int
) -> Iterator[ContainerNetwork]:
    if isinstance(value, dict):
        for key in ("network_interface", "bridge"):
            if isinstance(value.get(key), str):
                interface = value[key]
        yield from _network(place, name, value.get("subnet"), interface)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children if levels else ():
        yield from _subnets(child, place, name, interface, levels - 1)


def _network(place: str, name: str, network: Any, interface: str | None) -> Iterator[ContainerNetwork]:
    """Give a network if this text is one."""
    if not isinstance(network, str):
        return
    try:
        spelled = str(ip_network(network, strict=False))
    except ValueError:
        return
    yield ContainerNetwork(
        place=clean(place), name=clean(name), network=spelled, interface=interface and clean(interface)
    )


def read_networks(root: Path) -> tuple[tuple[ContainerNetwork, ...], tuple[Gap, ...]]:
    """Read the container networks below a root folder, and say what could not be read."""
    found: set[ContainerNetwork] = set()
    gaps: set[str] = set()
    wanted: list[tuple[Path, Callable[[Any, str], Iterator[ContainerNetwork]]]] = [(root / _DOCKER, docker)]
    for folder, ending in _FOLDERS:
        try:
            wanted += [
                (root / folder / name, podman) for name in names(root / folder) if name.endswith(ending)
            ]
        except ObserveError as error:
            gaps.add(str(error))
    for path, read in wanted:
        try:
            file = read_file(path)
            if file is not None:
                found.update(read(json.loads(file.content), str(path)))
        except ObserveError as error:
            gaps.add(str(error))
        except (ValueError, RecursionError):
            gaps.add(f"{path}: is not JSON")
    return tuple(sorted(found, key=_order)), tuple(
        Gap(scope=Scope.CONTAINER_NETWORKS, reason=clean(reason)) for reason in sorted(gaps)
    )


def _order(network: ContainerNetwork) -> tuple[str, str, str, str]:
    return network.place, network.name, network.network, network.interface or ""

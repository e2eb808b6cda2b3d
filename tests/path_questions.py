"""The host that the path tests ask about: the one that ``tests/kernel/packets.py`` builds."""

from __future__ import annotations

import ipaddress

from portguard.model.net import AddressSet, Transport
from portguard.model.path import PathClass
from portguard.model.snapshot import Interface, Links, Route

ADDRESSES = {
    "eth0": ("10.1.0.1", "192.168.77.1", "fd01::1"),
    "eth1": ("10.2.0.1", "fd02::1"),
    "eth2": ("10.3.0.1", "fd03::1"),
}
ROUTES = {
    "eth0": ("0.0.0.0/0", "10.1.0.0/16", "::/0", "fd01::/64"),
    "eth1": ("10.2.0.0/16", "172.20.0.0/16", "fd02::/64", "fd20::/32"),
    "eth2": ("10.3.0.0/24", "fd03::/64"),
}
LINKS = Links(
    interfaces=tuple(
        Interface(
            index=index,
            name=name,
            up=True,
            addresses=tuple((ipaddress.ip_address(text), 32 if "." in text else 128) for text in texts),
        )
        for index, (name, texts) in enumerate(ADDRESSES.items(), 2)
    ),
    routes=tuple(
        Route(network=ipaddress.ip_network(text), interface=index)
        for index, texts in enumerate(ROUTES.values(), 2)
        for text in texts
    ),
)
OWN = AddressSet.of("10.1.0.1", "fd01::1")
"""Addresses that the listener serves."""


def asked(
    transport: str,
    port: int | None,
    sources: AddressSet,
    *,
    destination: AddressSet = OWN,
    interfaces: tuple[str, ...] | None = None,
) -> PathClass:
    """Ask about new connections to a port of the host."""
    return PathClass(
        transport=Transport(transport),
        port=port,
        destination=destination,
        interfaces=interfaces,
        sources=sources,
    )

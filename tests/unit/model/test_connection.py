"""Connections with peers of both IP versions."""

from __future__ import annotations

from ipaddress import ip_address

from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import Connection


def _to(peer: str) -> Connection:
    return Connection(
        peer=ip_address(peer),
        peer_port=40000,
        local=ip_address("::1" if ":" in peer else "127.0.0.1"),
        local_port=22,
        transport=Transport.TCP,
        state="established",
        owner=Owner(),
    )


def test_connections_of_both_versions_can_be_sorted() -> None:
    rows = [_to("2001:db8::1"), _to("10.28.32.2"), _to("10.28.32.1")]
    assert [str(row.peer) for row in sorted(rows, key=lambda row: row.order)] == [
        "10.28.32.1",
        "10.28.32.2",
        "2001:db8::1",
    ]

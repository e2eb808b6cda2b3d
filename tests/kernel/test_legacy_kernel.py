"""What iptables-legacy does is not seen, so nothing is claimed that it could make otherwise."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from debian_programs import run, unpack
from packets import Kernel, Probe

from portguard.core.path import evaluate
from portguard.daemon.observer import Observer
from portguard.kernel.real import open_world
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.path import Outcome, PathClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.snapshot import Snapshot

pytestmark = pytest.mark.kernel

PORTS = (80, 443, 631)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    unpack()
    with Kernel(PORTS) as found:
        yield found


def test_what_legacy_tables_drop_or_translate_is_unknown_and_what_nft_shuts_beside_a_filter_is_shut(
    kernel: Kernel,
) -> None:
    kernel.load(
        "table inet f { chain in { type filter hook input priority 0; policy accept; tcp dport 443 drop;\n}\n}\n"
    )
    run(kernel.server, "iptables-legacy -A INPUT -p tcp --dport 80 -j DROP\n")
    claimed, real = _compared(kernel)
    assert claimed == {80: Outcome.UNKNOWN, 443: Outcome.DROPPED, 631: Outcome.UNKNOWN}
    assert real == {80: Outcome.DROPPED, 443: Outcome.DROPPED, 631: Outcome.OPEN}

    run(kernel.server, "iptables-legacy -t nat -A PREROUTING -p tcp --dport 443 -j REDIRECT --to-ports 631\n")
    claimed, real = _compared(kernel)
    assert set(claimed.values()) == {Outcome.UNKNOWN}
    assert real[443] is Outcome.OPEN


def _compared(kernel: Kernel) -> tuple[dict[int, Outcome], dict[int, Outcome]]:
    """Say what is claimed of each port, and what becomes of a packet."""
    snapshot = kernel.server.run(_look)
    assert snapshot.ruleset is not None
    source, destination = ipaddress.ip_address("10.1.0.7"), ipaddress.ip_address("10.1.0.1")
    claimed = {}
    for port in PORTS:
        ask = PathClass(
            transport=Transport.TCP,
            port=port,
            destination=AddressSet.of(str(destination)),
            sources=EVERYTHING,
        )
        report = evaluate(snapshot.ruleset, ask, snapshot.links)
        claimed[port] = next(b.outcome for b in report.branches if source in b.sources)
    probes = [
        Probe(source=source, destination=destination, transport=Transport.TCP, port=port) for port in PORTS
    ]
    return claimed, {
        probe.port: found.outcome for probe, found in zip(probes, kernel.send(probes), strict=True)
    }


def _look() -> Snapshot:
    world = open_world()
    try:
        return Observer(world).snapshot()
    finally:
        world.close()

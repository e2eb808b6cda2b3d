"""The rulesets that Debian's firewalls really write: what is evaluated of them is what their kernel does."""

from __future__ import annotations

import ipaddress
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from debian_programs import XTABLES, run, unpack
from firewall_programs import CONTAINER, PROGRAMS, netavark
from packets import OWN_ADDRESS, Kernel, Probe

from portguard.core.path import evaluate
from portguard.kernel.links import RouteReader
from portguard.kernel.nft import Nft
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.path import Outcome, PathClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Links

pytestmark = pytest.mark.kernel

PORTS = (22, 80, 443, 631, 8080, 9100)
SOURCES = ("10.1.0.7", "10.9.0.1", "172.20.1.1", "192.0.2.7", "fd01::7", "2001:db8::1", "fd20::5")
DESTINATIONS = ("10.2.0.1", "fd02::1")
"""Own addresses beside the first ones: ports may be published at one address alone."""
UNDECIDED = {"foomuuri": {631}, "shorewall": {9100}, "iptables": {443, 8080, 9100}}
"""Ports that a program was told to limit (what becomes of a packet depends on how many came before), and 9100 of iptables: what
its match asks for nobody prints."""


@pytest.fixture(scope="module", autouse=True)
def programs() -> Iterator[None]:
    unpack()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTABLES_LIBDIR", str(XTABLES))
        yield


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel(PORTS) as found:
        yield found


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_port_and_source_is_evaluated_as_the_kernel_decides(kernel: Kernel, program: str) -> None:
    kernel.load("")
    run(kernel.server, PROGRAMS[program])
    compare(kernel, UNDECIDED.get(program, set()))


@pytest.mark.parametrize("driver", ["nftables", "iptables"])
def test_ports_that_podman_publishes_are_evaluated_as_the_kernel_decides(driver: str) -> None:
    """By podman's own netavark, which connects the client's namespace as the container."""
    with Kernel(PORTS) as kernel:
        script = netavark(driver, f"/proc/{kernel.client.task}/ns/net")
        kernel.connect(CONTAINER, lambda: run(kernel.server, script))
        outcomes = compare(kernel, set())
    assert outcomes["10.1.0.7", "10.2.0.1", Transport.TCP, 443] is Outcome.OPEN
    assert outcomes["10.1.0.7", "10.1.0.1", Transport.TCP, 443] is Outcome.DROPPED
    assert outcomes["fd01::7", "fd01::1", Transport.TCP, 80] is Outcome.OPEN


def compare(kernel: Kernel, undecided: set[int]) -> dict[tuple[str, str, Transport, int], Outcome]:
    """Probe every port from every source, and hold what was evaluated against it."""
    ruleset, links = kernel.server.run(_read)
    assert ruleset.tables
    assert not ruleset.unreadable
    probes = [
        Probe(
            source=ipaddress.ip_address(source),
            destination=ipaddress.ip_address(destination),
            transport=transport,
            port=port,
            interface="eth1" if source.startswith(("172.20.", "fd20:")) else "eth0",
        )
        for transport in (Transport.TCP, Transport.UDP, Transport.ICMP)
        for port in (PORTS if transport is not Transport.ICMP else PORTS[:1])
        for source in SOURCES
        for destination in (*OWN_ADDRESS.values(), *DESTINATIONS)
        if ("." in source) == ("." in destination)
    ]
    outcomes: dict[tuple[str, str, Transport, int], Outcome] = {}
    for probe, answer in zip(probes, kernel.send(probes), strict=True):
        ask = PathClass(
            transport=probe.transport,
            port=None if probe.transport is Transport.ICMP else probe.port,
            destination=AddressSet.of(str(probe.destination)),
            sources=EVERYTHING,
        )
        branch = next(b for b in evaluate(ruleset, ask, links).branches if probe.source in b.sources)
        either = branch.outcome is Outcome.UNKNOWN or branch.reason is not None
        assert not either or probe.port in undecided, f"{probe}\nkernel: {answer}\nevaluated: {branch}"
        if not either:
            assert branch.outcome is answer.outcome, f"{probe}\nkernel: {answer}\nevaluated: {branch}"
        outcomes[str(probe.source), str(probe.destination), probe.transport, probe.port] = branch.outcome
    assert len(set(outcomes.values())) > 1, "a ruleset that treats all alike proves nothing"
    return outcomes


def _read() -> tuple[Ruleset, Links]:
    with closing(Nft()) as firewall, closing(RouteReader()) as routes:
        return firewall.read(), routes.read()

"""The command of the smallest fix, run by the program whose rule decides, really opens the path."""

from __future__ import annotations

import ipaddress
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
from debian_programs import XTABLES, run, unpack
from firewall_programs import script
from packets import OWN_ADDRESS, Kernel, Probe

from portguard.core.fix import smallest_fix
from portguard.core.owner import Owner
from portguard.core.path import evaluate
from portguard.kernel.links import RouteReader
from portguard.kernel.nft import Nft
from portguard.model.net import AddressSet, Transport
from portguard.model.path import Outcome, PathClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.fix import Fix

pytestmark = pytest.mark.kernel

PORTS = (22, 80, 443, 631, 8080, 9100)


class Shut(NamedTuple):
    """A path that a program shuts."""

    program: str
    owner: Owner
    source: str
    port: int


CASES = (
    Shut("iptables", Owner.IPTABLES, "192.0.2.7", 631),
    Shut("iptables", Owner.IPTABLES, "2001:db8::1", 9100),
    Shut("ufw", Owner.UFW, "10.1.0.7", 631),
    Shut("ufw", Owner.UFW, "fd01::7", 443),
    Shut("firewalld", Owner.FIREWALLD, "10.1.0.7", 443),
    Shut("foomuuri", Owner.FOOMUURI, "10.1.0.7", 22),
    Shut("shorewall", Owner.SHOREWALL, "192.0.2.7", 631),
    Shut("shorewall", Owner.SHOREWALL, "fd01::7", 80),
    Shut("fail2ban", Owner.FAIL2BAN, "10.9.0.1", 80),
    Shut("docker", Owner.DOCKER, "10.1.0.7", 443),
    Shut("docker, nftables", Owner.DOCKER, "10.1.0.7", 631),
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    unpack()
    with pytest.MonkeyPatch.context() as patch, Kernel(PORTS) as found:
        patch.setenv("XTABLES_LIBDIR", str(XTABLES))
        yield found


@pytest.mark.parametrize("case", CASES, ids=[f"{case.program}: {case.source} {case.port}" for case in CASES])
def test_the_command_of_the_fix_opens_the_path(kernel: Kernel, case: Shut) -> None:
    kernel.load("")
    run(kernel.server, script(case.program, ""))
    assert arrives(kernel, case) is not Outcome.OPEN
    fix = kernel.server.run(fix_of, case)
    assert fix.owner is case.owner
    assert fix.then is None
    kernel.load("")
    run(kernel.server, script(case.program, fix.command))
    assert arrives(kernel, case) is Outcome.OPEN, f"{fix.command}\n{kernel.text()}"


def fix_of(case: Shut) -> Fix:
    """Ask for the fix, in the server's namespace."""
    with closing(Nft()) as firewall, closing(RouteReader()) as routes:
        ruleset, links = firewall.read(), routes.read()
    ask = PathClass(
        transport=Transport.TCP,
        port=case.port,
        destination=AddressSet.of(OWN_ADDRESS[4 if "." in case.source else 6]),
        sources=AddressSet.of(case.source),
    )
    (branch,) = evaluate(ruleset, ask, links).branches
    fix = smallest_fix(ruleset, ask, branch, links)
    assert fix is not None, branch
    return fix


def arrives(kernel: Kernel, case: Shut) -> Outcome:
    """Send a packet."""
    source = ipaddress.ip_address(case.source)
    probe = Probe(
        source=source,
        destination=ipaddress.ip_address(OWN_ADDRESS[source.version]),
        transport=Transport.TCP,
        port=case.port,
    )
    return kernel.send([probe])[0].outcome

"""Where the kernel does something else than a ruleset reads like, or may, nothing is claimed."""

from __future__ import annotations

import ipaddress
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packets import Kernel, Probe

from portguard.core.path import evaluate
from portguard.kernel.links import RouteReader
from portguard.kernel.nft import Nft
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.path import Outcome, PathClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.path import Branch
    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Links

pytestmark = pytest.mark.kernel

_INPUT = "chain in { type filter hook input priority 0; policy accept;"


class Doubt(NamedTuple):
    """A ruleset, and what becomes of a connection from 10.9.0.1 to port 80."""

    name: str
    text: str
    outcome: Outcome
    reason: str


DOUBTS = (
    Doubt(
        "a full set takes no more",
        f"""table ip f {{
            set s {{ type ipv4_addr; size 1; flags dynamic,timeout; timeout 1h; elements = {{ 10.77.0.1 }}; }}
            {_INPUT} add @s {{ ip saddr }} drop; }}
        }}""",
        Outcome.OPEN,
        "set s is full",
    ),
    Doubt(
        "a set that a rule took the source out of",
        f"""table ip f {{
            set s {{ type ipv4_addr; flags dynamic,timeout; timeout 1h; elements = {{ 10.9.0.1 }}; }}
            {_INPUT} delete @s {{ ip saddr }}; ip saddr @s drop; }}
        }}""",
        Outcome.OPEN,
        "taken it out of set s",
    ),
    Doubt(
        "an element with a limit of its own",
        f"""table ip f {{
            set s {{ type ipv4_addr; flags dynamic,timeout; timeout 1h;
              elements = {{ 10.9.0.1 limit rate over 100/second }}; }}
            {_INPUT} ip saddr @s drop; }}
        }}""",
        Outcome.OPEN,
        "a limit of its element",
    ),
    Doubt(
        "a set whose elements carry a limit, which the rule that adds them does not repeat",
        f"""table ip f {{
            set s {{ type ipv4_addr; size 9; flags dynamic,timeout; timeout 1h; limit rate over 100/second; }}
            {_INPUT} add @s {{ ip saddr }} drop; }}
        }}""",
        Outcome.OPEN,
        "lets some through",
    ),
    Doubt(
        "a translation to loopback",
        "table ip f { chain pre { type nat hook prerouting priority dstnat; dnat to 127.0.0.1; }\n}",
        Outcome.DROPPED,
        "get to loopback",
    ),
    Doubt(
        "a source that was translated",
        """table ip f {
            chain late { type filter hook input priority 200; ip saddr 10.1.0.9 drop; }
            chain nat { type nat hook input priority 100; ip saddr 10.9.0.0/16 snat to 10.1.0.9; }
        }""",
        Outcome.DROPPED,
        "the source comes out of a translation",
    ),
    Doubt(
        "many rules about a source that was translated",
        f"""table ip f {{
            chain late {{ type filter hook input priority 200; {" ".join(f"ip saddr 10.1.0.{n} drop;" for n in range(1, 10))} }}
            chain nat {{ type nat hook input priority 100; ip saddr 10.9.0.0/16 snat to 10.1.0.9; }}
        }}""",
        Outcome.DROPPED,
        "the source comes out of a translation",
    ),
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel((80, 8080)) as found:
        yield found


@pytest.mark.parametrize("doubt", DOUBTS, ids=[doubt.name for doubt in DOUBTS])
def test_what_the_kernel_decides_otherwise_than_it_reads_is_not_claimed(kernel: Kernel, doubt: Doubt) -> None:
    kernel.load(_nft(doubt.text))
    branch = _evaluated(kernel)
    assert branch.outcome is Outcome.UNKNOWN
    assert doubt.reason in str(branch.reason)
    assert kernel.send([PROBE])[0].outcome is doubt.outcome


@pytest.mark.parametrize("first", ["nat", "filter"])
def test_whether_a_chain_at_the_priority_of_nat_reads_the_new_port_is_not_claimed(
    kernel: Kernel, first: str
) -> None:
    """The kernel registers nat with the first of all nat chains, whichever chain a listing names first."""
    kernel.load("")
    chains = {
        "nat": "chain nat { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }\n",
        "filter": "chain filter { type filter hook prerouting priority -100; tcp dport 8080 drop; }\n",
    }
    texts = [chains[first], *(text for name, text in chains.items() if name != first)]
    kernel.load("table ip f {\n" + "".join(texts) + "}\n")
    branch = _evaluated(kernel)
    answer = kernel.send([PROBE])[0].outcome
    assert branch.outcome is Outcome.UNKNOWN
    assert "at the priority of nat" in str(branch.reason)
    assert answer is (Outcome.OPEN if first == "nat" else Outcome.DROPPED)


PROBE = Probe(
    source=ipaddress.ip_address("10.9.0.1"),
    destination=ipaddress.ip_address("10.1.0.1"),
    transport=Transport.TCP,
    port=80,
)


def _nft(text: str) -> str:
    return text.replace("; }", ";\n}\n") + "\n"


def _evaluated(kernel: Kernel) -> Branch:
    ruleset, links = kernel.server.run(_read)
    destination = AddressSet.of(str(PROBE.destination))
    ask = PathClass(transport=Transport.TCP, port=80, destination=destination, sources=EVERYTHING)
    return next(b for b in evaluate(ruleset, ask, links).branches if PROBE.source in b.sources)


def _read() -> tuple[Ruleset, Links]:
    with closing(Nft()) as firewall, closing(RouteReader()) as routes:
        return firewall.read(), routes.read()

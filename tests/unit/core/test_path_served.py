"""What is asked about is what the listener serves: of IPv4-mapped addresses IPv4, of a wildcard all that it takes."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from path_questions import LINKS
from portguard.core.reach import FROM_NETWORK, Reach
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.listener import Listener
from portguard.model.net import AddressSet, Transport
from portguard.model.path import Outcome

if TYPE_CHECKING:
    from portguard.model.ruleset import Ruleset

V4, V6 = AddressSet(FROM_NETWORK.v4), AddressSet((), FROM_NETWORK.v6)


def only_ipv4_is_shut() -> Ruleset:
    of = {"family": "ip", "table": "f"}
    base = {"name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}
    rows = [{"metainfo": {}}, {"table": {"family": "ip", "name": "f"}}, {"chain": {**of, **base}}]
    return parse_ruleset({"nftables": rows}, generation=1)


@pytest.mark.parametrize(
    ("address", "dropped", "open_"),
    [
        ("10.1.0.1", V4, AddressSet()),
        ("::ffff:10.1.0.1", V4, AddressSet()),
        ("fd01::1", AddressSet(), V6),
        ("0.0.0.0", V4, AddressSet()),
    ],
)
def test_a_port_is_judged_for_the_version_at_which_it_is_served(
    address: str, dropped: AddressSet, open_: AddressSet
) -> None:
    listener = Listener(transport=Transport.TCP, address=ipaddress.ip_address(address), port=80)
    report = Reach(only_ipv4_is_shut(), LINKS, (listener,)).port(Transport.TCP, 80)
    assert (report.having(Outcome.DROPPED), report.having(Outcome.OPEN)) == (dropped, open_)

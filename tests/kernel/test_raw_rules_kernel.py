"""The IP version in front of a TCP reset, which nft's listings hide, is read from the kernel."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from portguard.core.path import evaluate
from portguard.kernel.nft import Nft
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.nft_text import statements_text
from portguard.model.path import Outcome, PathClass
from portguard.model.ruleset import TableKey

if TYPE_CHECKING:
    from namespaces import Netns

pytestmark = pytest.mark.kernel

OWN = AddressSet.of("10.1.0.1", "fd01::1")


@pytest.mark.parametrize("asked", ["meta nfproto ipv6", "meta protocol ip6"])
def test_a_version_that_nft_does_not_list_before_a_reset_is_read(netns: Netns, asked: str) -> None:
    netns.nft(
        f"""table inet f {{ chain in {{ type filter hook input priority 0; policy accept;
            {asked} tcp dport 80 reject with tcp reset
        }}
        }}"""
    )
    with closing(Nft()) as firewall:
        ruleset = firewall.read()
        table = firewall.read_table(TableKey("inet", "f"))
    (rule,) = ruleset.tables[TableKey("inet", "f")].rules_of("in")
    assert "nfproto ipv6" in statements_text(rule.expr)
    assert table == ruleset.tables[TableKey("inet", "f")]
    ask = PathClass(transport=Transport.TCP, port=80, destination=OWN, sources=EVERYTHING)
    report = evaluate(ruleset, ask)
    assert report.having(Outcome.REFUSED) == AddressSet((), EVERYTHING.v6)
    assert report.having(Outcome.OPEN) == AddressSet(EVERYTHING.v4)


def test_a_reset_for_both_versions_or_with_a_version_that_is_listed_stays_as_it_is(netns: Netns) -> None:
    netns.nft(
        """table inet f { chain in { type filter hook input priority 0; policy accept;
            tcp dport 80 reject with tcp reset
            ip6 saddr fd01::/64 tcp dport 443 reject with tcp reset
        }
        }"""
    )
    with closing(Nft()) as firewall:
        rules = firewall.read().tables[TableKey("inet", "f")].rules_of("in")
    assert not any("nfproto" in statements_text(rule.expr) for rule in rules)

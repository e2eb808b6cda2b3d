"""The smallest fix names the owner and a change that really flips the verdict, and says what else it would do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from path_cases import RECORDED
from path_questions import LINKS, asked
from portguard.core.fix import Fix, smallest_fix
from portguard.core.owner import Owner, owner_of
from portguard.core.path import evaluate
from portguard.core.reach import FROM_NETWORK
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.net import AddressSet
from portguard.model.ruleset import RuleRef, Ruleset, TableKey

LISTINGS: dict[str, Any] = json.loads(RECORDED.read_text())
CLIENT = AddressSet.of("10.1.0.7")


def fix_of(case: str, port: int, sources: AddressSet = CLIENT) -> Fix | None:
    ruleset = parse_ruleset(LISTINGS[case], generation=1)
    ask = asked("tcp", port, sources, destination=AddressSet.of("10.1.0.1"))
    branch = evaluate(ruleset, ask, LINKS).branches[0]
    return smallest_fix(ruleset, ask, branch, LINKS)


def test_a_rule_is_put_before_the_one_that_decides() -> None:
    fix = fix_of("intervals hold both their ends and nothing beyond", 80)
    assert fix is not None
    assert fix.owner is Owner.NFTABLES
    assert fix.command.startswith("nft insert rule ip f in position ")
    assert fix.command.endswith(" ip saddr 10.1.0.7 tcp dport 80 accept")
    assert (fix.then, fix.also_opens) == (None, ())


def test_behind_a_policy_the_rule_is_added_to_its_chain() -> None:
    fix = fix_of("concatenations with intervals", 631)
    assert fix is not None
    assert fix.command == "nft add rule inet f in ip saddr 10.1.0.7 tcp dport 631 accept"
    assert fix.then is None


def test_what_is_open_needs_no_fix() -> None:
    assert fix_of("nothing filters", 80) is None


def test_everyone_is_named_by_no_address() -> None:
    fix = fix_of(
        "concatenations with intervals", 631, AddressSet(FROM_NETWORK.v4) - AddressSet.of("10.9.0.1")
    )
    assert fix is not None
    assert "more networks" in fix.command
    fix = fix_of("an accept ends only its own base chain", 80, AddressSet(FROM_NETWORK.v4))
    assert fix is not None
    assert fix.command == "nft add rule inet late in tcp dport 80 accept"


def test_a_second_rule_that_still_stops_the_packets_is_named() -> None:
    # Of equal priority: the reject of the newer table comes first, the policy of the older one is left.
    fix = fix_of("of equal priority the chain registered last comes first", 80)
    assert fix is not None
    assert fix.then is not None
    assert (fix.then.table, fix.then.text) == (TableKey("inet", "old"), "policy drop")


@pytest.mark.parametrize(
    ("table", "chain", "owner"),
    [
        (("inet", "firewalld"), "filter_IN_public", Owner.FIREWALLD),
        (("ip", "filter"), "ufw-user-input", Owner.UFW),
        (("ip", "filter"), "DOCKER-ISOLATION-STAGE-1", Owner.DOCKER),
        (("ip", "filter"), "f2b-sshd", Owner.FAIL2BAN),
        (("inet", "f2b-table"), "f2b-chain", Owner.FAIL2BAN),
        (("ip", "filter"), "LIBVIRT_INP", Owner.LIBVIRT),
        (("inet", "portguard"), "input", Owner.PORTGUARD),
        (("inet", "filter"), "input", Owner.NFTABLES),
    ],
)
def test_owner_is_told_by_chain_and_table(table: tuple[str, str], chain: str, owner: Owner) -> None:
    ref = RuleRef(table=TableKey(*table), chain=chain, handle=None, text="policy drop")
    assert owner_of(Ruleset(generation=1, tables={}), ref) is owner


@pytest.mark.parametrize(
    ("names", "owner"), [(["INPUT"], Owner.IPTABLES), (["INPUT", "ufw-before-input"], Owner.UFW)]
)
def test_owner_of_a_policy_is_told_by_the_other_chains(names: list[str], owner: Owner) -> None:
    of = {"family": "ip", "table": "filter"}
    rows: list[dict[str, Any]] = [{"metainfo": {}}, {"table": {"family": "ip", "name": "filter"}}]
    rows += [
        {
            "chain": {
                **of,
                "name": name,
                **(
                    {"type": "filter", "hook": "input", "prio": 0, "policy": "drop"}
                    if name == "INPUT"
                    else {}
                ),
            }
        }
        for name in names
    ]
    ruleset = parse_ruleset({"nftables": rows}, generation=1)
    ref = RuleRef(table=TableKey("ip", "filter"), chain="INPUT", handle=None, text="policy drop")
    assert owner_of(ruleset, ref) is owner

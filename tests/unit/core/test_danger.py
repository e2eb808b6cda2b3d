"""How bad an exposed Redis, JMX or debugger is, and what an administrator is told about it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sites

from portguard.core.danger import TABLE, described, severity
from portguard.core.judge import judge
from portguard.core.shut import CONTAIN, shutting
from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.listener import Owner
from portguard.model.net import AddressSet, Transport
from portguard.model.ruleset import Chain, Rule, RuleRef, Ruleset, Table, TableKey

DOC = Path(__file__).resolve().parents[3] / "docs" / "exposure.md"
POLICY = sites.policy()


def found(exposure: Exposure, rules: Ruleset | None = None, *, port: int = 6390) -> list[Finding]:
    """Judge a host on which this one socket listens beside what is documented."""
    socket = sites.listener(port, owner=Owner(process="server", unit="cache.service", pid=9), cookie=1)
    others = tuple(row for row in sites.documented(POLICY) if row.port != port)
    snapshot = sites.snapshot(sites.ruleset() if rules is None else rules, (*others, socket))
    return [row for row in judge(POLICY, snapshot, {1: exposure}).findings if row.port == port]


def test_the_documentation_has_the_same_table() -> None:
    rows = [
        f"| `{protection.value}` | {row.undocumented} | {row.wider} | {row.unsure} |"
        for protection, row in TABLE.items()
    ]

    assert set(TABLE) == set(Protection)
    assert "\n".join(rows) in DOC.read_text()


@pytest.mark.parametrize("protection", Protection)
def test_an_undocumented_redis_that_strangers_reach_is_as_bad_as_its_protection(
    protection: Protection,
) -> None:
    exposure = Exposure(application=Application.REDIS, protection=protection)
    (finding,) = found(exposure)

    assert finding.kind is Kind.SERVICE_EXPOSED
    assert finding.severity is TABLE[protection].undocumented
    assert finding.message.startswith(described(exposure))
    assert finding.evidence["protection"] == protection


@pytest.mark.parametrize("protection", Protection)
def test_a_documented_redis_that_more_than_its_peers_reach_is_judged_as_such(protection: Protection) -> None:
    (finding,) = found(Exposure(application=Application.REDIS, protection=protection), port=6379)

    assert finding.severity is TABLE[protection].wider
    assert "documented for printum/redis-sentinel only" in finding.message


def test_no_protection_is_better_than_a_better_one() -> None:
    order = sorted(Protection, key=lambda one: one.strength)
    ranks = {name: number for number, name in enumerate(Severity)}
    for kind in ("undocumented", "wider"):
        worst_first = [ranks[getattr(TABLE[protection], kind)] for protection in order[:-1]]
        assert worst_first == sorted(worst_first)
    assert severity(Protection.UNKNOWN, reachable=True, documented=True) is Severity.CRITICAL


def test_the_message_names_the_protection_the_unit_who_reaches_it_and_for_whom_it_is() -> None:
    (finding,) = found(
        Exposure(application=Application.REDIS, protection=Protection.NONE, evidence=("arguments",))
    )

    assert finding.message == (
        "Redis without a password on 0.0.0.0:6390 (server, unit cache.service), reachable from admins, printers, "
        "workstations, printum/redis-sentinel and anyone else; documented for nobody on the network"
    )
    assert finding.evidence["read_from"] == ["arguments"]
    assert finding.evidence["fix"] == CONTAIN


def test_a_local_connector_is_no_finding_at_all() -> None:
    exposure = Exposure(application=Application.JMX_LOCAL, protection=Protection.REFUSES_STRANGERS)

    assert not found(exposure, port=40001)


def test_a_jvm_that_does_not_tell_is_an_unexpected_listener_that_says_so() -> None:
    exposure = Exposure(application=Application.JVM, evidence=("thread names: 1 for RMI",))
    (finding,) = found(exposure, port=1099)

    assert finding.kind is Kind.LISTENER_UNEXPECTED
    assert finding.severity is Severity.ERROR
    assert "does not tell whether it is JMX or a debugger (thread names: 1 for RMI)" in finding.message


def test_redis_that_nobody_reaches_is_an_undocumented_listener_with_a_name() -> None:
    closed = sites.ruleset(sites.input_table(policy="drop"))
    exposure = Exposure(application=Application.REDIS, protection=Protection.NONE)
    finding = next(row for row in found(exposure, closed) if row.kind is Kind.LISTENER_UNEXPECTED)

    assert finding.severity is Severity.WARNING
    assert (
        "(Redis without a password) is not documented for this role, and the firewall lets nobody in"
        in finding.message
    )


def test_the_least_protected_of_several_sockets_counts() -> None:
    owner = Owner(process="redis-server", pid=9)
    sockets = tuple(
        sites.listener(6390, address, cookie=number, owner=owner)
        for number, address in enumerate(("0.0.0.0", "::"))
    )
    known = {
        number: Exposure(application=Application.REDIS, protection=protection)
        for number, protection in enumerate((Protection.PASSWORD, Protection.NONE))
    }
    judgement = judge(POLICY, sites.snapshot(sites.ruleset(), sockets), known)
    (finding,) = [row for row in judgement.findings if row.port == 6390]

    assert finding.severity is Severity.CRITICAL


def test_an_address_of_this_host_in_ipv6_dress_is_loopback() -> None:
    socket = sites.listener(9010, "::ffff:127.0.0.1", cookie=1)

    known = {1: Exposure(application=Application.JMX, protection=Protection.NONE)}
    judgement = judge(POLICY, sites.snapshot(sites.ruleset(), (socket,)), known)

    assert socket.loopback
    assert not [row for row in judgement.findings if row.port == 9010]


# --- the command that shuts it -----------------------------------------------------------------------------------

INPUT = {"input": Chain(name="input", type="filter", hook="input", priority=0, policy="accept")}
CAPITAL = {"INPUT": Chain(name="INPUT", type="filter", hook="input", priority=0, policy="accept")}
PEERS = AddressSet.of("10.1.0.0/16", "2001:db8::/32")


def command(table: Table, chain: str, handle: int | None = None, keep: AddressSet = AddressSet()) -> str:
    by = RuleRef(table=table.key, chain=chain, handle=handle, text="accept")
    return shutting(sites.ruleset(table), by, Transport.TCP, 6390, keep)


@pytest.mark.parametrize(
    ("name", "family", "chains", "expected"),
    [
        ("site", "inet", INPUT, 'nft add rule inet site input iifname != "lo" tcp dport 6390 drop'),
        ("filter", "ip", CAPITAL, "iptables -w -I INPUT ! -i lo -p tcp --dport 6390 -j DROP"),
        ("filter", "ip6", CAPITAL, "ip6tables -w -I INPUT ! -i lo -p tcp --dport 6390 -j DROP"),
        (
            "firewalld", "inet", INPUT,
            (
                "firewall-cmd --permanent --add-rich-rule='rule priority=\"-100\" port port=\"6390\" protocol=\"tcp\" drop'"
                " && firewall-cmd --reload"
            ),
        ),
        ("filter", "ip", {**CAPITAL, "ufw-user-input": Chain(name="ufw-user-input")}, "ufw insert 1 deny in proto tcp from any to any port 6390"),
        ("portguard", "inet", INPUT, CONTAIN),
        ("docker-bridges", "ip", INPUT, CONTAIN),
    ],
)  # fmt: skip
def test_the_command_is_in_the_language_of_whose_rule_lets_them_in(
    name: str, family: str, chains: dict[str, Chain], expected: str
) -> None:
    table = Table(key=TableKey(family, name), chains=chains)

    assert command(table, next(iter(chains))) == expected
    assert command(table, next(iter(chains)), keep=PEERS) != expected or expected == CONTAIN


def test_documented_peers_keep_their_way_in() -> None:
    rule = Rule(chain="input", handle=7, expr=({"accept": None},))
    table = Table(key=TableKey("inet", "site"), chains=INPUT, rules={"input": (rule,)})
    begin = 'nft insert rule inet site input position 7 iifname != "lo" tcp dport 6390'

    assert command(table, "input", 7, PEERS).split(" && ") == [
        f"{begin} ip saddr != {{ 10.1.0.0/16 }} drop",
        f"{begin} ip6 saddr != {{ 2001:db8::/32 }} drop",
    ]
    assert command(table, "input", 7, AddressSet.of("10.1.0.0/16")).split(" && ") == [
        f"{begin} ip saddr != {{ 10.1.0.0/16 }} drop",
        f"{begin} meta protocol ip6 drop",
    ]


def test_without_a_rule_to_change_it_is_for_portguard_to_close() -> None:
    assert shutting(None, None, Transport.TCP, 6390, PEERS) == CONTAIN
    gone = RuleRef(table=TableKey("inet", "gone"), chain="input", handle=1, text="accept")
    assert shutting(sites.ruleset(), gone, Transport.TCP, 6390, PEERS) == CONTAIN


def test_a_command_that_an_alert_could_not_hold_is_not_proposed() -> None:
    rule = Rule(chain="input", handle=7, expr=({"accept": None},))
    table = Table(key=TableKey("inet", "site"), chains=INPUT, rules={"input": (rule,)})
    many = AddressSet.of(*(f"192.0.2.{number}/32" for number in range(0, 80, 2)))

    assert command(table, "input", 7, many) == CONTAIN

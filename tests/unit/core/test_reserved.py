"""The reserved range, on every surface: used, legitimately used, merely contained, and not to be told."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sites

from portguard.core.mentions import mentions
from portguard.core.render import OWN_TABLE
from portguard.core.reserved import reserved_findings
from portguard.model.finding import Severity
from portguard.model.listener import Owner
from portguard.model.net import AddressSet, Transport
from portguard.model.ruleset import Chain, Rule, Ruleset, Set, Table, TableKey
from portguard.model.snapshot import (
    Connection,
    ContainerNetwork,
    Interface,
    Lease,
    Links,
    Neighbour,
    Route,
    Snapshot,
    Surroundings,
)

if TYPE_CHECKING:
    from portguard.model.finding import Finding
    from portguard.model.policy import Policy

RANGE = AddressSet.of("10.28.32.0/26")
FILTER = TableKey("inet", "filter")

BRIDGE = Links(
    interfaces=(
        *sites.LINKS.interfaces,
        Interface(
            index=7, name="br-printum0", up=True, addresses=((ipaddress.ip_address("10.28.32.1"), 26),)
        ),
    ),
    routes=(Route(network=ipaddress.ip_network("10.28.32.0/26"), interface=7),),
)
"""A host on which the product's own network uses the range."""

PLAIN = sites.policy()
ALLOWED = sites.policy(reserved_interfaces=("br-printum*",))


def seen(**parts: Any) -> Snapshot:
    return Snapshot(**{"listeners": (), "ruleset": None, "links": sites.LINKS, **parts})


def findings(policy: Policy = PLAIN, **parts: Any) -> list[Finding]:
    return list(reserved_findings(policy, seen(**parts)))


def table(*exprs: list[Any], sets: tuple[Set, ...] = (), key: TableKey = FILTER) -> Ruleset:
    """A table with one chain of these rules."""
    rules = tuple(
        Rule(chain="input", handle=number, expr=tuple(expr)) for number, expr in enumerate(exprs, 4)
    )
    chain = Chain(name="input", type="filter", hook="input", priority=0, policy="accept")
    return sites.ruleset(
        Table(key=key, chains={"input": chain}, rules={"input": rules}, sets={row.name: row for row in sets})
    )


def saddr(right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": right}}


def interface(key: str, name: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": name}}


def named(elements: tuple[Any, ...], name: str = "trusted", **more: Any) -> Set:
    return Set(name=name, handle=2, type=("ipv4_addr",), elements=elements, **more)


ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}

PREFIX = {"prefix": {"addr": "10.28.32.0", "len": 26}}
WIDER = {"prefix": {"addr": "10.28.0.0", "len": 16}}


class TestRules:
    """Literals in other people's rules."""

    @pytest.mark.parametrize(
        "expr",
        [
            [saddr("10.28.32.5"), ACCEPT],
            [saddr(PREFIX), ACCEPT],
            [saddr({"prefix": {"addr": "10.28.32.16", "len": 28}}), ACCEPT],
            [saddr({"range": ["10.28.32.5", "10.28.32.9"]}), ACCEPT],
            [saddr({"range": ["10.28.32.60", "10.28.33.9"]}), ACCEPT],
            [saddr({"set": ["192.0.2.1", "10.28.32.5"]}), ACCEPT],
            [saddr({"set": [{"concat": ["10.28.32.5", 80]}]}), ACCEPT],
            [{"dnat": {"addr": "10.28.32.5", "port": 8080}}],
            [{"snat": {"family": "ip", "addr": "10.28.32.5"}}],
            [{"dnat": {"addr": {"map": {"key": {"meta": {"key": "l4proto"}}, "data": {"set": [["tcp", "10.28.32.5"]]}}}}}],
            [{"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["10.28.32.5", ACCEPT]]}}}],
        ],
    )  # fmt: skip
    def test_a_literal_in_the_range_is_an_alarm_wherever_it_stands(self, expr: list[Any]) -> None:
        (found,) = findings(ruleset=table(expr))

        assert found.severity is Severity.CRITICAL
        assert found.evidence["surface"] == "rule"
        assert found.evidence["table"] == "inet filter"
        assert found.evidence["handle"] == 4
        assert "10.28.32.0/26" in found.message

    @pytest.mark.parametrize(
        "expr",
        [
            [saddr("10.28.32.64"), ACCEPT],
            [saddr("10.28.31.255"), ACCEPT],
            [saddr({"prefix": {"addr": "0.0.0.0", "len": 0}}), ACCEPT],
            [saddr({"prefix": {"addr": "0.0.0.0", "len": 1}}), ACCEPT],
            [saddr("@trusted"), ACCEPT],
            [{"log": {"prefix": "10.28.32.5"}}, ACCEPT],
            [interface("iifname", "10.28.32.5.x"), ACCEPT],
            [{"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "saddr"}}, "right": "10:28:32:00:00:05"}}],
        ],
    )  # fmt: skip
    def test_what_is_no_mention_of_the_range_is_not_told(self, expr: list[Any]) -> None:
        assert findings(ruleset=table(expr)) == []

    @pytest.mark.parametrize(
        "expr",
        [
            [saddr(PREFIX), DROP],
            [saddr("10.28.32.5"), {"reject": {"type": "icmp", "expr": "port-unreachable"}}],
            [saddr(PREFIX, "!="), ACCEPT],
            [{"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["10.28.32.5", DROP]]}}}],
        ],
    )  # fmt: skip
    def test_who_denies_the_range_does_not_use_it(self, expr: list[Any]) -> None:
        (found,) = findings(ruleset=table(expr))

        assert found.severity is Severity.NOTICE
        assert found.evidence["denies"] is True

    def test_wider_networks_are_one_notice_for_each_table(self) -> None:
        found = findings(
            ruleset=table([saddr(WIDER), ACCEPT], [saddr({"prefix": {"addr": "10.0.0.0", "len": 8}}), ACCEPT])
        )

        assert [(row.severity, row.subject) for row in found] == [
            (Severity.NOTICE, "table inet filter contains")
        ]
        assert "and 1 more" in found[0].message

    def test_a_rule_bound_to_the_products_interface_is_its_own(self) -> None:
        rules = table(
            [interface("iifname", "br-printum0"), saddr("10.28.32.5"), ACCEPT],
            [saddr(PREFIX), interface("oifname", "br-printum0", "!="), {"masquerade": None}],
            [interface("oifname", {"set": ["eth0", "br-printum1"]}), saddr("10.28.32.5"), ACCEPT],
        )

        assert findings(ALLOWED, ruleset=rules) == []
        assert len(findings(PLAIN, ruleset=rules)) == 3

    def test_a_rule_for_addresses_behind_the_products_interface_is_its_own(self) -> None:
        rules = table([saddr("10.28.32.5"), ACCEPT])

        assert findings(ALLOWED, ruleset=rules, links=BRIDGE) == []
        assert len(findings(ALLOWED, ruleset=rules)) == 1

    def test_the_own_table_says_nothing_of_others(self) -> None:
        assert findings(ruleset=table([saddr(PREFIX), DROP], key=OWN_TABLE)) == []

    def test_the_same_rule_has_the_same_id_whatever_its_handle(self) -> None:
        rules = table([saddr("192.0.2.1"), ACCEPT], [saddr("10.28.32.5"), ACCEPT])
        (before,) = findings(ruleset=rules)
        (after,) = findings(ruleset=table([saddr("10.28.32.5"), ACCEPT]))

        assert before.evidence["handle"] != after.evidence["handle"]
        assert before.id == after.id

    def test_of_very_many_rules_the_first_are_told_and_the_number_of_the_rest(self) -> None:
        found = findings(ruleset=table(*([saddr(f"10.28.32.{number}"), ACCEPT] for number in range(60))))

        assert len(found) == 21
        assert found[-1].severity is Severity.CRITICAL
        assert found[-1].evidence["more"] == 40


class TestSets:
    """Elements of named sets and maps."""

    def test_elements_in_the_range_are_one_alarm_for_each_set(self) -> None:
        rows = (named(("10.28.32.5", "192.0.2.1", {"elem": {"val": "10.28.32.6", "timeout": 60}})),)
        (found,) = findings(ruleset=table(sets=rows))

        assert found.severity is Severity.CRITICAL
        assert found.evidence["surface"] == "set element"
        assert found.evidence["set"] == "trusted"
        assert found.evidence["addresses"] == ["10.28.32.5", "10.28.32.6"]

    @pytest.mark.parametrize(
        "elements",
        [
            (PREFIX,),
            ({"range": ["10.28.32.0", "10.28.32.7"]},),
            ({"concat": ["tcp", "10.28.32.5", 22]},),
            ([80, "10.28.32.5"],),
        ],
    )
    def test_every_shape_of_an_element_is_read(self, elements: tuple[Any, ...]) -> None:
        (found,) = findings(ruleset=table(sets=(named(elements),)))

        assert found.severity is Severity.CRITICAL

    def test_a_set_that_only_denying_rules_refer_to_is_a_notice(self) -> None:
        banned = named(("10.28.32.5",), "banned")

        (denied,) = findings(ruleset=table([saddr("@banned"), DROP], sets=(banned,)))
        (both,) = findings(
            ruleset=table([saddr("@banned"), DROP], [saddr("@banned"), ACCEPT], sets=(banned,))
        )
        assert (denied.severity, both.severity) == (Severity.NOTICE, Severity.CRITICAL)

    def test_a_rule_that_fills_a_set_is_no_use_of_what_stands_there(self) -> None:
        fills = [
            {
                "set": {
                    "op": "add",
                    "elem": {"payload": {"protocol": "ip", "field": "saddr"}},
                    "set": "@banned",
                }
            },
            ACCEPT,
        ]
        rules = table(fills, [saddr("@banned"), DROP], sets=(named(("10.28.32.5",), "banned"),))

        assert [row.severity for row in findings(ruleset=rules)] == [Severity.NOTICE]

    def test_a_set_of_addresses_behind_the_products_interface_is_its_own(self) -> None:
        rules = table(sets=(named(("10.28.32.5", "10.28.32.6")),))

        assert findings(ALLOWED, ruleset=rules, links=BRIDGE) == []

    def test_a_bogon_list_is_a_notice(self) -> None:
        rows = (
            named(
                ({"prefix": {"addr": "10.0.0.0", "len": 8}}, {"prefix": {"addr": "172.16.0.0", "len": 12}}),
                "bogons",
            ),
        )

        assert [row.severity for row in findings(ruleset=table(sets=rows))] == [Severity.NOTICE]

    def test_a_set_that_could_not_be_read_claims_nothing(self) -> None:
        assert findings(ruleset=table(sets=(replace(named(()), elements=None),))) == []

    def test_an_unchanged_table_is_walked_once_and_another_range_is_another_question(self) -> None:
        rules = table([saddr("10.28.32.5"), ACCEPT])
        first, second = (next(mentions(rules, RANGE, OWN_TABLE)) for _ in range(2))

        assert first is second
        assert list(mentions(rules, AddressSet.of("192.0.2.0/24"), OWN_TABLE)) == []


class TestLinks:
    """Interfaces, routes, neighbours."""

    def test_an_address_whose_network_contains_the_range_is_a_notice(self) -> None:
        docker = Interface(
            index=5, name="docker0", up=True, addresses=((ipaddress.ip_address("10.28.0.1"), 16),)
        )
        (found,) = findings(links=Links(interfaces=(*sites.LINKS.interfaces, docker)))

        assert found.severity is Severity.NOTICE
        assert found.subject == "docker0 contains"
        assert "address 10.28.0.1/16 on docker0 contains the reserved range 10.28.32.0/26" in found.message

    def test_a_default_route_is_no_mention(self) -> None:
        routes = tuple(
            Route(network=ipaddress.ip_network(net), interface=2)
            for net in ("0.0.0.0/0", "0.0.0.0/1", "::/0")
        )

        assert findings(links=replace(sites.LINKS, routes=routes)) == []

    def test_a_gateway_in_the_range_is_an_alarm_even_for_a_default_route(self) -> None:
        route = Route(
            network=ipaddress.ip_network("0.0.0.0/0"), interface=2, gateway=ipaddress.ip_address("10.28.32.1")
        )
        (found,) = findings(links=replace(sites.LINKS, routes=(route,)))

        assert found.severity is Severity.CRITICAL
        assert found.evidence["uses"] == ["gateway 10.28.32.1"]

    def test_a_route_to_nowhere_keeps_packets_from_the_range(self) -> None:
        route = Route(network=ipaddress.ip_network("10.28.32.0/26"), interface=None)
        (found,) = findings(links=replace(sites.LINKS, routes=(route,)))

        assert found.severity is Severity.NOTICE
        assert "leads nowhere" in found.message

    def test_where_the_product_uses_it_nothing_is_told(self) -> None:
        neighbour = Neighbour(address=ipaddress.ip_address("10.28.32.9"), interface=7)

        assert findings(ALLOWED, links=replace(BRIDGE, neighbours=(neighbour,))) == []


class TestSockets:
    """Listeners and connections."""

    def test_a_listener_bound_to_the_range_is_an_alarm_with_its_process(self) -> None:
        (found,) = findings(listeners=(sites.listener(8001, "10.28.32.5"),))

        assert found.severity is Severity.CRITICAL
        assert (found.port, found.unit, found.address) == (8001, "server.service", "10.28.32.5")

    def test_a_v4_mapped_listener_is_bound_to_the_same_address(self) -> None:
        (mapped,) = findings(listeners=(sites.listener(8001, "::ffff:10.28.32.5"),))
        (plain,) = findings(listeners=(sites.listener(8001, "10.28.32.5"),))

        assert mapped.id == plain.id

    def test_a_listener_that_was_gone_at_once_is_told_too(self) -> None:
        assert len(findings(brief=(sites.listener(8001, "10.28.32.5"),))) == 1

    def test_a_wildcard_listener_is_no_use(self) -> None:
        assert findings(listeners=(sites.listener(8001),)) == []

    def test_a_listener_on_the_products_own_address_is_its_own(self) -> None:
        listeners = (sites.listener(8001, "10.28.32.1"),)

        assert findings(ALLOWED, listeners=listeners, links=BRIDGE) == []

    def test_connections_are_one_alarm_for_each_peer(self) -> None:
        rows = (connection(), connection(local_port=40001, state="closed"), connection(peer="10.28.32.6"))
        found = findings(connections=rows)

        assert [row.address for row in found] == ["10.28.32.5", "10.28.32.6"]
        assert found[0].process == "curl"
        assert found[0].evidence["connections"] == [
            "10.1.0.1:40000 to 10.28.32.5:443/tcp established",
            "10.1.0.1:40001 to 10.28.32.5:443/tcp closed",
        ]

    def test_a_connection_by_way_of_the_products_interface_is_its_own(self) -> None:
        assert findings(ALLOWED, connections=(connection(),), links=BRIDGE) == []
        assert len(findings(ALLOWED, connections=(connection(),))) == 1

    def test_while_the_way_cannot_be_told_no_connection_is_accused(self) -> None:
        assert findings(ALLOWED, connections=(connection(),), links=None) == []
        assert len(findings(PLAIN, connections=(connection(),), links=None)) == 1

    def test_what_was_not_read_is_not_none(self) -> None:
        assert findings(connections=None) == []


def connection(peer: str = "10.28.32.5", local_port: int = 40000, state: str = "established") -> Connection:
    return Connection(
        peer=ipaddress.ip_address(peer),
        peer_port=443,
        local=ipaddress.ip_address("10.1.0.1"),
        local_port=local_port,
        transport=Transport.TCP,
        state=state,
        owner=Owner(process="curl", pid=77),
    )


class TestFiles:
    """Leases, container networks, and the configuration."""

    def test_a_lease_in_the_range_is_an_alarm_with_its_file(self) -> None:
        (found,) = findings(surroundings=leased("10.28.32.5", interface="eth0"))

        assert found.severity is Severity.CRITICAL
        assert found.subject == "lease 10.28.32.5"
        assert found.evidence["file"] == "/var/lib/dhcp/dhclient.leases"

    @pytest.mark.parametrize("lease", [{"interface": "br-printum0"}, {"given": True}, {}])
    def test_a_lease_on_the_products_network_is_its_own(self, lease: dict[str, Any]) -> None:
        assert findings(ALLOWED, surroundings=leased("10.28.32.5", **lease), links=BRIDGE) == []

    def test_a_lease_elsewhere_is_nothing(self) -> None:
        assert findings(surroundings=leased("10.28.32.64")) == []

    def test_a_container_network_in_the_range_is_an_alarm_and_a_wider_one_a_notice(self) -> None:
        found = findings(surroundings=networked("10.28.32.0/27", "10.28.0.0/16", "172.17.0.0/16"))

        assert [row.severity for row in found] == [Severity.CRITICAL, Severity.NOTICE]
        assert found[1].subject.endswith(" contains")

    def test_the_products_container_network_is_its_own(self) -> None:
        assert findings(ALLOWED, surroundings=networked("10.28.32.0/26", interface="br-printum0")) == []

    def test_a_zone_that_contains_the_range_is_a_notice(self) -> None:
        policy = sites.policy(zones={**sites.ZONES, "workstations": AddressSet.of("10.0.0.0/8")})
        (found,) = findings(policy)

        assert (found.severity, found.subject) == (Severity.NOTICE, "zone workstations contains")


def leased(address: str, **more: Any) -> Surroundings:
    return Surroundings(leases=(Lease(place="/var/lib/dhcp/dhclient.leases", address=address, **more),))


def networked(*networks: str, interface: str | None = None) -> Surroundings:
    return Surroundings(
        networks=tuple(
            ContainerNetwork(
                place="/etc/containers/networks/n.json", name="n", network=network, interface=interface
            )
            for network in networks
        )
    )


def test_ranges_of_the_administrator_are_watched_beside_the_documents() -> None:
    policy = sites.policy(
        reserved=(ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("fd00:28::/64"))
    )
    rules = table([saddr("192.0.2.7"), ACCEPT], [saddr("fd00:28::7"), ACCEPT], [saddr("10.28.32.7"), ACCEPT])

    messages = [row.message for row in findings(policy, ruleset=rules)]
    assert [network in message for network, message in zip(("192.0.2.0/24", "fd00:28::/64", "10.28.32.0/26"), messages, strict=True)] == [True] * 3  # fmt: skip


def test_without_a_reserved_range_nothing_is_looked_for() -> None:
    policy = replace(PLAIN, reserved=AddressSet())

    assert findings(policy, listeners=(sites.listener(8001, "10.28.32.5"),)) == []

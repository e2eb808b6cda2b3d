"""Verdicts and findings of one snapshot."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import sites

from portguard.core.judge import judge
from portguard.core.render import OWN_TABLE
from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.finding import Finding, Kind, Severity, Verdict
from portguard.model.judgement import Judgement, ListenerState, PathState
from portguard.model.listener import Listener, Owner
from portguard.model.net import AddressSet, PortRange, Transport
from portguard.model.policy import Manager, Mode, Policy
from portguard.model.ruleset import Chain, Rule, Ruleset, Table, TableKey
from portguard.model.snapshot import Gap, Interface, Links, Neighbour, Route, Snapshot

POLICY = sites.policy()
CLOSED = sites.input_table(sites.ESTABLISHED, policy="drop", name="site")
ALLOWING = sites.input_table(
    sites.ESTABLISHED,
    *(
        (
            sites.match("ip", "saddr", str(next(peers.networks()))),
            sites.match(transport, "dport", port),
            {"accept": None},
        )
        for zone, transport, ports in (
            ("workstations", "tcp", (80, 443, 1631, 8000, 8001, 8010, 8080)),
            ("printers", "tcp", (8010, 8080, 20, 21)),
            ("printers", "udp", (161, 162)),
            ("admins", "tcp", (22, 7000)),
        )
        for peers in (sites.ZONES[zone],)
        for port in ports
    ),
    policy="drop",
    name="site",
)


def look(
    ruleset: Ruleset | None = None, *extra: Listener, policy: Policy = POLICY, **changes: Any
) -> Judgement:
    """Judge a host on which everything documented listens."""
    listeners = (*sites.documented(policy), *extra)
    snapshot = sites.snapshot(sites.ruleset() if ruleset is None else ruleset, listeners)
    known = Exposure(application=Application.REDIS, protection=Protection.NONE)
    redis = {row.cookie: known for row in extra if row.port == 6390}
    return judge(policy, replace(snapshot, **changes), redis)


def of(judgement: Judgement, kind: Kind) -> list[Finding]:
    return [finding for finding in judgement.findings if finding.kind is kind]


def state(judgement: Judgement, flow: str, zone: str) -> PathState:
    return next(
        row.path for row in judgement.services if row.service.flow == flow and row.service.zone == zone
    )


def test_a_host_as_documented_is_ok() -> None:
    policy = sites.policy(roles=("printum/monitoring", "printum/printmanager", "printum/portal"))
    judgement = look(policy=policy)

    assert judgement.verdict is Verdict.OK
    assert judgement.manager is Manager.PORTGUARD
    assert {finding.kind for finding in judgement.findings} == {Kind.FLOW_WIDER}


def test_a_drop_policy_shuts_every_documented_port_and_is_named() -> None:
    judgement = look(sites.ruleset(CLOSED))

    assert judgement.verdict is Verdict.CRITICAL
    assert judgement.manager is Manager.NFTABLES
    blocked = of(judgement, Kind.REQUIRED_PORT_BLOCKED)
    assert {row.port for row in blocked if row.zone == "workstations"} == {
        80,
        443,
        1631,
        8000,
        8001,
        8010,
        8080,
    }
    assert blocked[0].evidence["table"] == "inet site"
    assert blocked[0].evidence["text"] == "policy drop"


def test_a_firewall_of_another_manager_is_named_with_the_command_for_it() -> None:
    firewalld = Table(
        key=TableKey("inet", "firewalld"),
        chains={
            "filter_INPUT": Chain(
                name="filter_INPUT", type="filter", hook="input", priority=10, policy="accept"
            )
        },
        rules={"filter_INPUT": (Rule(chain="filter_INPUT", handle=5, expr=({"reject": None},)),)},
    )
    judgement = look(sites.ruleset(firewalld))

    assert judgement.manager is Manager.FIREWALLD
    finding = next(row for row in of(judgement, Kind.REQUIRED_PORT_BLOCKED) if row.port == 8001)
    assert finding.evidence["command"].startswith("firewall-cmd --permanent --add-rich-rule=")
    assert "8001" in finding.evidence["command"]


def test_a_ban_inside_a_zone_is_one_warning_for_all_its_ports() -> None:
    ban = (sites.match("ip", "saddr", "10.1.66.6"), {"drop": None})
    judgement = look(sites.ruleset(sites.input_table(ban, name="bans")))

    (finding,) = [row for row in of(judgement, Kind.REQUIRED_PORT_BLOCKED) if row.zone == "workstations"]
    assert finding.severity is Severity.WARNING
    assert "on purpose" in finding.message
    assert state(judgement, "printum/portal-web", "workstations") is PathState.PARTIAL
    assert state(judgement, "printum/scan-ftp", "printers") is PathState.OPEN


def test_a_missing_listener_is_an_error_and_a_loopback_one_a_warning() -> None:
    gone = tuple(row for row in sites.documented(POLICY) if row.port not in (8010, 8001))
    snapshot = sites.snapshot(sites.ruleset(ALLOWING), (*gone, sites.listener(8001, "127.0.0.1")))
    judgement = judge(POLICY, snapshot, {})

    assert [(row.port, row.severity) for row in of(judgement, Kind.LISTENER_MISSING)] == [
        (8010, Severity.ERROR)
    ]
    assert [(row.port, row.severity) for row in of(judgement, Kind.LISTENER_LOOPBACK_ONLY)] == [
        (8001, Severity.WARNING)
    ]


def test_a_dual_stack_socket_serves_ipv4_and_a_v6only_one_does_not() -> None:
    for v6only, expected in ((False, PathState.OPEN), (True, PathState.UNKNOWN)):
        policy = sites.policy(zones={**sites.ZONES, "workstations": AddressSet.of("10.1.0.0/16")})
        others = tuple(row for row in sites.documented(policy) if row.port != 8000)
        socket = sites.listener(8000, "::", v6only=v6only)
        judgement = judge(policy, sites.snapshot(sites.ruleset(), (*others, socket)), {})

        assert state(judgement, "printum/monitoring-web", "workstations") is expected


def test_what_could_not_be_read_is_unknown_and_never_ok() -> None:
    gap = Gap(scope="ruleset", reason="nft failed")
    judgement = look(ruleset=None, gaps=(gap,))
    assert judgement.verdict is not Verdict.OK

    blind = judge(POLICY, Snapshot(listeners=None, ruleset=None, links=None, gaps=(gap,)), {})
    assert blind.verdict is Verdict.UNKNOWN
    assert blind.manager is Manager.UNKNOWN
    inbound = [row for row in blind.services if row.service in POLICY.inbound]
    assert all(row.path == PathState.UNKNOWN for row in inbound if row.service.peers)
    assert all(row.listener is ListenerState.UNKNOWN for row in inbound if row.service.ports)
    assert not of(blind, Kind.LISTENER_MISSING)
    assert [row.severity for row in of(blind, Kind.VISIBILITY_DEGRADED)] == [Severity.ERROR]


def test_redis_on_any_port_is_critical_when_strangers_reach_it() -> None:
    redis = sites.listener(6390, owner=Owner(process="redis-server", unit="cache.service", pid=9))
    judgement = look(sites.ruleset(), redis)

    finding = next(row for row in of(judgement, Kind.SERVICE_EXPOSED) if row.port == 6390)
    assert finding.severity is Severity.CRITICAL
    assert finding.message == (
        "Redis without a password on 0.0.0.0:6390 (redis-server, unit cache.service), reachable from admins, "
        "printers, workstations, printum/redis-sentinel and anyone else; documented for nobody on the network"
    )
    assert finding.evidence["reachable"] == "yes"


def test_redis_behind_a_closed_firewall_is_no_alarm() -> None:
    judgement = look(sites.ruleset(CLOSED), sites.listener(6390))

    assert not of(judgement, Kind.SERVICE_EXPOSED)


def test_redis_behind_a_rule_that_nobody_understands_is_an_error() -> None:
    riddle = sites.input_table(
        ({"xt": {"type": "match", "name": "recent"}}, {"accept": None}), policy="drop", name="x"
    )
    judgement = look(sites.ruleset(riddle), sites.listener(6390))

    finding = next(row for row in of(judgement, Kind.SERVICE_EXPOSED) if row.port == 6390)
    assert finding.severity is Severity.ERROR
    assert finding.evidence["reachable"] == "unknown"


def test_documented_redis_reachable_beyond_its_peers_is_exposed() -> None:
    judgement = look(sites.ruleset())

    assert {row.port for row in of(judgement, Kind.SERVICE_EXPOSED)} == {6379, 26379}
    assert "documented for printum/redis-sentinel only" in of(judgement, Kind.SERVICE_EXPOSED)[0].message


def test_an_undocumented_listener_is_as_bad_as_its_reach() -> None:
    opened = look(sites.ruleset(), sites.listener(9999))
    admins_only = sites.input_table(
        (sites.match("ip", "saddr", {"prefix": {"addr": "10.9.0.0", "len": 24}}), {"accept": None}),
        policy="drop",
    )
    narrow = look(sites.ruleset(admins_only), sites.listener(9999))
    shut = look(sites.ruleset(CLOSED), sites.listener(9999))

    assert [row.severity for row in of(opened, Kind.LISTENER_UNEXPECTED)] == [Severity.ERROR]
    assert [row.severity for row in of(narrow, Kind.LISTENER_UNEXPECTED)] == [Severity.WARNING]
    assert [row.severity for row in of(shut, Kind.LISTENER_UNEXPECTED)] == [Severity.WARNING]
    assert "lets nobody in" in of(shut, Kind.LISTENER_UNEXPECTED)[0].message


def test_an_undocumented_loopback_listener_is_nobodys_business() -> None:
    assert not of(look(sites.ruleset(), sites.listener(9999, "127.0.0.1")), Kind.LISTENER_UNEXPECTED)


def test_a_udp_client_socket_is_no_listener_but_a_udp_server_is() -> None:
    client = sites.listener(45000, transport=Transport.UDP)
    server = sites.listener(514, transport=Transport.UDP)
    judgement = look(sites.ruleset(), client, server)

    assert [row.port for row in of(judgement, Kind.LISTENER_UNEXPECTED)] == [514]


def test_what_the_administrator_documented_is_expected() -> None:
    from portguard.model.config import Extra

    extra = Extra(
        transport=Transport.TCP, ports=PortRange(9999, 9999), zone="admins", unit=None, reason="agent"
    )
    policy = sites.policy(extra=(extra,))

    assert not of(look(sites.ruleset(), sites.listener(9999), policy=policy), Kind.LISTENER_UNEXPECTED)


def test_wider_ports_are_one_notice() -> None:
    (finding,) = of(look(sites.ruleset()), Kind.FLOW_WIDER)

    assert finding.severity is Severity.NOTICE
    assert "8001/tcp" in finding.evidence["ports"]
    assert "anyone else" in finding.evidence["reachable_from"]


def test_without_a_role_the_verdict_is_unknown_and_says_what_to_do() -> None:
    policy = sites.policy(roles=(), mode=Mode.OBSERVE)
    judgement = look(None, sites.listener(9999), policy=policy)

    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.summary == "no role is configured; propose one with: sudo portguard init"
    assert [row.kind for row in judgement.findings] == [Kind.ROLE_UNDEFINED]


def test_without_a_role_an_exposed_redis_is_still_an_alarm() -> None:
    judgement = look(None, sites.listener(6390), policy=sites.policy(roles=(), mode=Mode.OBSERVE))

    assert judgement.verdict is Verdict.CRITICAL
    assert of(judgement, Kind.SERVICE_EXPOSED)
    assert "6390" in judgement.summary


def test_an_undefined_zone_is_a_finding_of_its_own() -> None:
    policy = sites.policy(zones={"admins": sites.ZONES["admins"], "printers": sites.ZONES["printers"]})

    (finding,) = of(look(policy=policy), Kind.ZONE_UNDEFINED)
    assert finding.zone == "workstations"
    assert finding.severity is Severity.WARNING
    assert "open to any address" in finding.message


def test_any_use_of_the_reserved_range_is_one_finding_per_interface() -> None:
    links = Links(
        interfaces=(
            *sites.LINKS.interfaces,
            Interface(index=3, name="eth1", up=True, addresses=((ipaddress.ip_address("10.28.32.5"), 26),)),
        ),
        routes=(
            Route(network=ipaddress.ip_network("10.28.32.0/26"), interface=3),
            Route(network=ipaddress.ip_network("10.0.0.0/8"), interface=2),
        ),
        neighbours=(Neighbour(address=ipaddress.ip_address("10.28.32.9"), interface=2),),
    )
    found = of(look(links=links), Kind.RESERVED_ADDRESS_IN_USE)

    assert {row.subject: list(row.evidence["uses"]) for row in found} == {
        "eth0": ["neighbour 10.28.32.9"],
        "eth1": ["address 10.28.32.5/26", "route 10.28.32.0/26"],
        "eth0 contains": ["route 10.0.0.0/8"],
    }
    assert [row.severity for row in found if row.subject != "eth0 contains"] == [Severity.CRITICAL] * 2


def test_the_product_may_use_its_own_range_where_it_is_allowed() -> None:
    links = Links(
        interfaces=(
            Interface(
                index=3, name="br-printum0", up=True, addresses=((ipaddress.ip_address("10.28.32.1"), 26),)
            ),
        )
    )
    policy = sites.policy(reserved_interfaces=("br-printum*",))

    assert not of(look(policy=policy, links=links), Kind.RESERVED_ADDRESS_IN_USE)


def test_the_own_table_alone_manages_nothing_but_is_no_other_manager() -> None:
    own = Table(
        key=OWN_TABLE,
        chains={"input": Chain(name="input", type="filter", hook="input", priority=-10, policy="accept")},
    )

    assert look(sites.ruleset(own)).manager is Manager.PORTGUARD


def test_a_path_for_nobody_is_never_called_open() -> None:
    policy = sites.policy(roles=("printum/redis-sentinel",), hosts={})
    judgement = look(policy=policy)

    assert policy.undefined
    assert state(judgement, "printum/redis", "printum/portal") is PathState.UNKNOWN
    assert {row.kind for row in judgement.findings} >= {Kind.ZONE_UNDEFINED}

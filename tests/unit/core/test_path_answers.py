"""Answers to ``why`` have the promised shape, and questions that make no sense get one clear line."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from typing import Any

import pytest

from path_cases import RECORDED
from path_questions import LINKS
from portguard.core.answers import Answers
from portguard.errors import UsageError
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.model.listener import Listener, Owner
from portguard.model.net import EVERYTHING, AddressSet, PortRange, Transport
from portguard.model.policy import Direction, Service
from portguard.model.ruleset import legacy_key
from portguard.model.snapshot import Interface, Links, Snapshot

LISTINGS: dict[str, Any] = json.loads(RECORDED.read_text())
ZONES = {"workstations": AddressSet.of("10.1.0.0/16"), "admins": AddressSet.of("10.9.0.1")}
REDIS = Listener(
    transport=Transport.TCP,
    address=ipaddress.ip_address("0.0.0.0"),
    port=443,
    owner=Owner(unit="web.service"),
)


def answers(case: str = "concatenations with intervals", *legacy: str, listener: Listener = REDIS) -> Answers:
    ruleset = parse_ruleset(LISTINGS[case], generation=1)
    hidden = {legacy_key(name): "nft cannot show its rules" for name in legacy}
    ruleset = dataclasses.replace(ruleset, unreadable=hidden)
    return Answers(Snapshot(listeners=(listener,), ruleset=ruleset, links=LINKS), ZONES)


def test_one_client_gets_the_whole_path_and_the_fix() -> None:
    found = answers().answer(443, None, "10.9.0.1", None)
    assert list(found) == ["schema", "port", "transport", "from", "to", "listener", "path", "fix"]
    assert found["listener"] == {"state": "listening", "address": "0.0.0.0", "unit": "web.service"}
    assert (found["path"]["state"], found["path"]["by"]["text"]) == ("dropped", "policy drop")
    assert found["path"]["trail"][-1]["effect"] == "policy drop"
    assert found["fix"]["command"] == "nft add rule inet f in ip saddr 10.9.0.1 tcp dport 443 accept"


@pytest.mark.parametrize(
    ("source", "to"), [("10.1.5.5", "10.1.0.1"), ("172.20.0.5", "10.2.0.1"), ("fd20::1", "fd02::1")]
)
def test_without_a_destination_it_is_the_own_address_on_the_way(source: str, to: str) -> None:
    assert answers().answer(443, None, source, None)["to"] == to


def test_without_a_source_every_zone_and_anyone_else_is_answered() -> None:
    rows = answers().answer(443, None, None, None)["paths"]
    states = {(row["zone"], row["path"]["state"]) for row in rows}
    assert states == {("workstations", "open"), ("admins", "dropped"), ("anyone else", "dropped")}


def test_a_fix_is_told_for_whom_a_port_is_documented_and_for_who_was_asked_about() -> None:
    document = Service(
        flow="web/admins",
        transport=Transport.TCP,
        ports=PortRange(first=443, last=443),
        direction=Direction.INBOUND,
        zone="admins",
        peers=ZONES["admins"],
        need="required",
        application="web",
    )
    ruleset = parse_ruleset(LISTINGS["concatenations with intervals"], generation=1)
    asked = Answers(Snapshot(listeners=(), ruleset=ruleset, links=LINKS), ZONES, (document,))
    rows = {row["zone"]: row["fix"] for row in asked.answer(443, None, None, None)["paths"]}
    assert rows["admins"]["command"].endswith("ip saddr 10.9.0.1 tcp dport 443 accept")
    assert rows["anyone else"] is None
    rows = {row["zone"]: row["fix"] for row in asked.answer(8080, None, None, None)["paths"]}
    assert set(rows.values()) == {None}
    (row,) = asked.answer(8080, None, "192.0.2.0/24", None)["paths"]
    assert row["fix"]["command"].endswith("ip saddr 192.0.2.0/24 tcp dport 8080 accept")


def test_a_fix_for_everyone_names_nobody() -> None:
    document = Service(
        flow="web/anyone",
        transport=Transport.TCP,
        ports=PortRange(first=443, last=443),
        direction=Direction.INBOUND,
        zone="anyone",
        peers=EVERYTHING,
        need="required",
        application="web",
    )
    ruleset = parse_ruleset(LISTINGS["an accept ends only its own base chain"], generation=1)
    asked = Answers(Snapshot(listeners=(), ruleset=ruleset, links=LINKS), ZONES, (document,))
    rows = {row["zone"]: row["fix"] for row in asked.answer(80, None, None, None)["paths"]}
    assert rows["anyone else"] is None
    document = dataclasses.replace(document, ports=PortRange(first=80, last=80))
    asked = Answers(Snapshot(listeners=(), ruleset=ruleset, links=LINKS), ZONES, (document,))
    rows = {row["zone"]: row["fix"] for row in asked.answer(80, None, None, None)["paths"]}
    assert rows["anyone else"]["command"] == "nft add rule inet late in tcp dport 80 accept"


def test_an_address_beyond_the_link_is_not_sent_to_a_link_local_one() -> None:
    ruleset = parse_ruleset(LISTINGS["nothing filters"], generation=1)
    only = Interface(index=2, name="eth0", up=True, addresses=((ipaddress.ip_address("fe80::1"), 64),))
    asked = Answers(Snapshot(listeners=(), ruleset=ruleset, links=Links(interfaces=(only,), routes=())), {})
    assert asked.answer(80, None, "fe80::2", None)["to"] == "fe80::1"
    with pytest.raises(UsageError, match="this host has no such address"):
        asked.answer(80, None, "2001:db8::1", None)


def test_a_zone_is_answered_by_name() -> None:
    (row,) = answers().answer(443, None, "workstations", None)["paths"]
    assert (row["zone"], row["sources"], row["path"]["state"]) == ("workstations", ["10.1.0.0/16"], "open")


def test_a_port_nobody_listens_on_is_still_answered() -> None:
    found = answers().answer(631, None, "10.9.0.1", None)
    assert (found["listener"]["state"], found["transport"], found["path"]["state"]) == (
        "absent",
        "tcp",
        "open",
    )


def test_what_legacy_iptables_may_drop_is_not_called_open() -> None:
    path = answers("concatenations with intervals", "ip filter").answer(443, None, "10.1.0.7", None)["path"]
    reason = "table ip filter of iptables-legacy could not be read: nft cannot show its rules"
    assert (path["state"], path["reason"]) == ("unknown", reason)


def test_an_ipv4_address_in_the_words_of_ipv6_is_that_client() -> None:
    found = answers().answer(443, None, "::ffff:10.1.0.7", None)
    assert (found["to"], found["path"]["state"]) == ("10.1.0.1", "open")


def test_the_addresses_at_which_nobody_listens_have_no_say() -> None:
    """As for check and status: a port is evaluated at the addresses where it is served."""
    listener = dataclasses.replace(REDIS, address=ipaddress.ip_address("10.2.0.1"))
    asked = answers(listener=listener)
    assert asked.answer(443, None, "10.1.5.5", None)["to"] == "10.2.0.1"
    assert asked.answer(443, None, "fd01::7", None)["to"] == "fd01::1"
    assert asked.answer(443, None, "10.1.5.5", "10.1.0.1")["to"] == "10.1.0.1"
    (row,) = asked.answer(443, None, "workstations", None)["paths"]
    assert row["path"]["state"] == "open"


@pytest.mark.parametrize(
    ("source", "to", "message"),
    [
        ("10.1.0.1", None, "10.1.0.1 is this host itself: its connections do not come from the network"),
        ("::1", None, "::1 is this host itself: its connections do not come from the network"),
        ("mars", None, "'mars' is neither an address, a network nor a zone (admins, workstations)"),
        ("10.1.0.7", "fd01::1", "10.1.0.7 is IPv4, and fd01::1 is not"),
        ("10.1.0.7", "10.1.0.99", "10.1.0.99 is not an address of this host"),
        ("10.1.0.7", "there", "--to 'there' is not an address"),
        ("10.1.0.7/8", None, "10.1.0.7/8 is no network: there are host bits in it"),
        ("0.0.0.0", None, "0.0.0.0 is nobody's address: no connection comes from it"),
        ("ff02::1", None, "ff02::1 is nobody's address: no connection comes from it"),
    ],
)
def test_a_question_that_makes_no_sense_gets_one_clear_line(
    source: str, to: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        answers().answer(443, None, source, to)
    assert str(caught.value) == message

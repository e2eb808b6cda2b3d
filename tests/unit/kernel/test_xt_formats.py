"""Matches and targets in the format of iptables mean what iptables says of them; recorded from Debian's iptables 1.8.9."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from portguard.kernel.xt_formats import LOSSY, is_read, read

ADDRTYPE = struct.Struct("=HHI")
CONNMARK = struct.Struct("=IIIBBB")
RANGE = struct.Struct("=I16s16s2s2s")
WHERE = bytes.fromhex("fd030000000000000000000000000010")


def icmp(field: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": "icmpv6", "field": field}}, "right": right}}


@pytest.mark.parametrize(
    ("info", "statements"),
    [
        (bytes([148, 0, 255, 0]), [icmp("type", 148)]),
        (bytes([148, 0, 255, 1]), [icmp("type", 148, "!=")]),
        (bytes([1, 3, 3, 0]), [icmp("type", 1), icmp("code", 3)]),
        (bytes([1, 3, 5, 0]), [icmp("type", 1), icmp("code", {"range": [3, 5]})]),
        (bytes([1, 3, 3, 1]), [{"xt": {"type": "match", "name": "icmp6", LOSSY: True}}]),
        (bytes([255, 0, 255, 0]), [icmp("type", 255)]),
        (bytes([148]), None),
    ],
    ids=[
        "type",
        "any other type",
        "type and code",
        "codes",
        "not this type and code",
        "not any type",
        "cut off",
    ],
)
def test_icmp_types_are_read_and_what_is_turned_around_as_a_whole_is_not(
    info: bytes, statements: Any
) -> None:
    assert read("match", "icmp6", 0, "ip6", info) == statements


def test_address_types_of_both_ends_are_read() -> None:
    found = read("match", "addrtype", 1, "ip", ADDRTYPE.pack(1 << 2, 1 << 2 | 1 << 3, 0x1))
    assert found == [
        {"match": {"op": "!=", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": {"set": ["local"]}}},
        {
            "match": {
                "op": "==",
                "left": {"fib": {"result": "type", "flags": ["daddr"]}},
                "right": {"set": ["local", "broadcast"]},
            }
        },
    ]  # fmt: skip


def test_address_types_limited_to_an_interface_are_left_alone() -> None:
    assert read("match", "addrtype", 1, "ip", ADDRTYPE.pack(0, 1 << 2, 0x4)) is None


@pytest.mark.parametrize(
    ("turned", "states", "lossy"),
    [
        (0, 0x80, False),
        (0, 0x2 | 0x4 | 0x80, False),
        (0, 0x8 | 0x80, True),
        (1, 0x80, True),
        (1, 0x8, False),
    ],
)
def test_states_beside_or_other_than_dnat_are_marked_since_the_text_has_only_dnat(
    turned: int, states: int, lossy: bool
) -> None:
    info = bytearray(164)
    info[148:152] = struct.pack("=HH", turned, states)
    found = read("match", "conntrack", 3, "ip", bytes(info))
    assert bool(found and found[0]["xt"].get(LOSSY)) is lossy


def test_marks_keep_the_bits_outside_their_masks() -> None:
    packet, connection = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
    whole, part = 0xFFFFFFFF, 0xFF
    assert read("target", "CONNMARK", 2, "ip", CONNMARK.pack(0, whole, whole, 0, 0, 2)) == [
        {"mangle": {"key": packet, "value": connection}}
    ]
    assert read("target", "CONNMARK", 2, "ip", CONNMARK.pack(0, part, part, 0, 0, 2)) == [
        {"mangle": {"key": packet, "value": {"^": [{"&": [packet, 0xFFFFFF00]}, {"&": [connection, part]}]}}}
    ]
    assert read("target", "CONNMARK", 2, "ip", CONNMARK.pack(0, whole, whole, 0, 8, 2)) is None


def test_translations_of_ipv6_are_read_and_those_of_ipv4_left_to_the_text() -> None:
    info = RANGE.pack(0x3, WHERE, WHERE, b"\x1f\x90", b"\x1f\x90")
    assert read("target", "DNAT", 2, "ip6", info) == [{"dnat": {"addr": "fd03::10", "port": 8080}}]
    assert read("target", "DNAT", 2, "ip", info) is None
    assert read("target", "REDIRECT", 0, "ip6", RANGE.pack(0, bytes(16), bytes(16), b"\0\0", b"\0\0")) == [
        {"redirect": None}
    ]


def test_a_revision_that_is_not_known_is_not_guessed() -> None:
    assert is_read("target", "CT")
    assert read("target", "CT", 9, "ip", bytes(64)) is None
    assert read("match", "recent", 0, "ip", bytes(64)) is None


def test_icmp_of_any_type_is_all_of_it_and_turned_around_none() -> None:
    assert read("match", "icmp", 0, "ip", bytes([255, 0, 255, 0])) == []
    (never,) = read("match", "icmp", 0, "ip", bytes([255, 0, 255, 1])) or []
    assert never["match"]["op"] == "!="
    assert never["match"]["right"] == {"range": [0, 255]}


@pytest.mark.parametrize(("kind", "turned", "op"), [(1, 0, "!="), (1, 2, "=="), (5, 0, "=="), (5, 2, "!=")])
def test_ipv6_takes_every_address_for_unicast_that_is_not_multicast(kind: int, turned: int, op: str) -> None:
    (found,) = read("match", "addrtype", 1, "ip6", ADDRTYPE.pack(0, 1 << kind, turned)) or []
    left = {"fib": {"result": "type", "flags": ["daddr"]}}
    assert found == {"match": {"op": op, "left": left, "right": {"set": ["multicast"]}}}


def test_ipv6_types_that_are_read_in_two_ways_are_left_open() -> None:
    (found,) = read("match", "addrtype", 1, "ip6", ADDRTYPE.pack(0, 1 << 1 | 1 << 2, 0)) or []
    assert found["xt"][LOSSY]


@pytest.mark.parametrize(
    ("mask", "value"),
    [(0xFFFFFFFF, 0x10), (0xF0, {"^": [{"&": [{"ct": {"key": "mark"}}, 0xFFFFFF0F]}, 0x10]})],
    ids=["whole", "a part"],
)
def test_the_part_of_a_connection_mark_outside_the_mask_is_kept(mask: int, value: Any) -> None:
    found = read("target", "CONNMARK", 2, "ip", CONNMARK.pack(0x10, mask, 0, 0, 0, 0))
    assert found == [{"mangle": {"key": {"ct": {"key": "mark"}}, "value": value}}]


def test_whatever_ct_asks_for_it_does_before_connection_tracking() -> None:
    assert read("target", "CT", 2, "ip", struct.pack("=HH", 1, 0)) == [{"notrack": None}]
    zone = {"mangle": {"key": {"ct": {"key": "zone"}}, "value": 3}}
    assert read("target", "CT", 2, "ip", struct.pack("=HH", 0, 3)) == [zone]

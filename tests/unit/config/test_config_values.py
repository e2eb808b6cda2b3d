"""Single values: durations, and overlaps found without comparing each pair."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.config import values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5.0),
        (0.25, 0.25),
        ("5", 5.0),
        (" 0.5 ", 0.5),
        ("10m", 600.0),
        ("250ms", 0.25),
        ("1h 30m", 5400.0),
        ("1h30m", 5400.0),
        ("1.5 d", 129600.0),
        ("30d", values.LONGEST),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds_or_numbers_with_units(value: object, expected: float) -> None:
    assert values.seconds(value, least=0.0) == expected


@pytest.mark.parametrize(
    "value",
    ["", "m", "10 minutes", "1h,30m", "-5", "1e3", "inf", float("nan"), float("inf"), True, None, [5], "10M"],
)
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        values.seconds(value, least=0.0)


@pytest.mark.parametrize("value", [10**400, "99999d", values.LONGEST + 1, 0.01])
def test_a_duration_out_of_range_is_told_the_range(value: object) -> None:
    with pytest.raises(ValueError, match=r"does not lie between 0.05 s and 30 d$"):
        values.seconds(value, least=0.05)


NETWORKS = st.builds(
    lambda version, bits, prefix: ipaddress.ip_network(
        (bits << (28 if version == 4 else 124), prefix), strict=False
    ),
    st.sampled_from([4, 6]),
    st.integers(0, 15),
    st.integers(0, 4),
)


@given(st.lists(st.none() | NETWORKS, max_size=8))
def test_every_entry_that_overlaps_is_part_of_a_pair(nets: list[Any]) -> None:
    """And every pair that is named really overlaps."""
    pairs = values.overlaps(nets)
    for later, earlier in pairs:
        assert later > earlier
        assert nets[later].overlaps(nets[earlier])
    clashing = {
        number
        for number, net in enumerate(nets)
        for other, against in enumerate(nets)
        if number != other and net and against and net.version == against.version and net.overlaps(against)
    }
    assert {number for pair in pairs for number in pair} == clashing


def test_a_long_list_is_checked_in_one_sweep() -> None:
    """A quarter of a million entries would never end if each were held against each."""
    nets = [ipaddress.ip_network((number << 8, 24)) for number in range(1 << 18)]
    assert values.overlaps(nets) == []
    assert values.overlaps([*nets, ipaddress.ip_network("0.0.7.9")]) == [(1 << 18, 7)]


def test_a_number_of_endless_digits_can_still_be_quoted() -> None:
    assert values.show(1 << 20000) == "a number of too many digits"

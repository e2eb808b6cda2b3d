"""Intervals behave as the sets of numbers that they stand for, however different in length the two sides are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.model.net import Intervals, intersect, merge, subtract, union

SHORT = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30)), max_size=4)
LONG = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=120)
ANY = st.one_of(SHORT, LONG).map(lambda rows: merge((low, low + size) for low, size in rows))


def numbers(intervals: Intervals) -> set[int]:
    return {number for low, high in intervals for number in range(low, high + 1)}


def in_normal_form(intervals: Intervals) -> bool:
    return all(low <= high for low, high in intervals) and all(
        before[1] + 1 < after[0] for before, after in itertools.pairwise(intervals)
    )


@given(ANY, ANY)
def test_each_operation_gives_the_numbers_it_promises_in_normal_form(
    left: Intervals, right: Intervals
) -> None:
    for found, wanted in (
        (intersect(left, right), numbers(left) & numbers(right)),
        (subtract(left, right), numbers(left) - numbers(right)),
        (union(left, right), numbers(left) | numbers(right)),
    ):
        assert numbers(found) == wanted
        assert in_normal_form(found)


MANY = tuple((at, at + 1) for at in range(0, 1000, 4))


@pytest.mark.parametrize(
    ("few", "left_over"),
    [
        (((1, 1),), ((0, 0), *MANY[1:])),
        (((0, 999),), ()),
        (((2, 3),), MANY),
        (((1, 8),), ((0, 0), (9, 9), *MANY[3:])),
        (((0, 0), (996, 996)), ((1, 1), *MANY[1:-1], (997, 997))),
    ],
)
def test_a_few_intervals_are_cut_out_of_many(few: Intervals, left_over: Intervals) -> None:
    assert subtract(MANY, few) == left_over


def test_one_interval_out_of_which_several_are_cut_stays_in_pieces() -> None:
    rest = tuple((at, at) for at in range(1000, 1050, 3))

    assert subtract(((0, 100), *rest), ((10, 20), (30, 40)))[:3] == ((0, 9), (21, 29), (41, 100))

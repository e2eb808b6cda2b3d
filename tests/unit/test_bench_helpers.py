"""The pure parts of the benchmark: what a median is, what is met, and how foreign rulesets are spelled."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

# The benchmark is no part of the package: it is found from the root of the tree, where `make bench` runs it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.figures import Figure, Samples, absent, parse
from bench.foreign import ruleset
from bench.processes import megabytes


class TestSamples:
    """Repetitions of one measurement."""

    def test_nine_of_ten_values_do_not_exceed_the_p90(self) -> None:
        samples = Samples.of(range(1, 21))

        assert (samples.median, samples.p90, samples.most) == (10.5, 18, 20)

    def test_of_one_value_all_three_are_that_value(self) -> None:
        samples = Samples.of([3.0])

        assert (samples.median, samples.p90, samples.most) == (3.0, 3.0, 3.0)

    def test_nothing_measured_is_not_zero(self) -> None:
        with pytest.raises(ValueError, match="nothing was measured"):
            Samples.of([])


def figure(*values: float, aim: float | None) -> Figure:
    return Figure(case="c", subject="s", unit="ms", samples=Samples.of(values), aim=aim)


class TestAims:
    """Figures and what is asked of them."""

    def test_an_aim_is_met_up_to_the_very_value_and_judged_by_the_median(self) -> None:
        assert figure(1.0, 5.0, 99.0, aim=5.0).met is True
        assert figure(1.0, 5.1, 5.2, aim=5.0).met is False

    def test_without_an_aim_or_a_measurement_nothing_is_met_or_missed(self) -> None:
        assert figure(1.0, aim=None).met is None
        assert absent("c", "firewalld", "MB", "not to be had").met is None

    @pytest.mark.parametrize(
        "row", [figure(2.0, 1.0, aim=3.0), absent("c", "firewalld", "MB", "not to be had")]
    )
    def test_a_figure_comes_back_from_its_file_as_it_was(self, row: Figure) -> None:
        assert parse(row.as_json()) == row


class TestForeignRules:
    """Rulesets of any size."""

    @pytest.mark.parametrize("count", [1, 99, 100, 250, 1000])
    def test_the_sub_chains_hold_as_many_rules_as_were_asked_for(self, count: int) -> None:
        chains = re.findall(r"chain site_\d+ \{\n(.*?)\n\t\}", ruleset(count), re.DOTALL)

        assert sum(len(body.splitlines()) for body in chains) == count
        assert ruleset(count).count("jump site_") == len(chains)

    @pytest.mark.parametrize("interval", [False, True])
    def test_the_elements_of_a_set_are_all_different(self, interval: bool) -> None:
        text = ruleset(10, elements=5000, interval=interval)
        elements = text.split("elements = {\n")[1].split("\n\t\t}")[0].split(",\n")

        assert len(set(elements)) == 5000


def test_memory_is_read_in_units_of_1048576_bytes_and_never_guessed() -> None:
    assert megabytes("Rss:   2048 kB\nPss:  1024 kB\nPss_Dirty:  1 kB\n") == (2.0, 1.0)
    with pytest.raises(ValueError, match="no Rss"):
        megabytes("Pss: 1 kB\n")

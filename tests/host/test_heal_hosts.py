"""Rules that are taken away come back while a client keeps connecting; for how long it could not is measured."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from host.harness.report import record
from host.harness.site import configuration, own_rules

if TYPE_CHECKING:
    from host.harness.debian import Debian
    from host.harness.site import Site

PORT = 8010
TIMES = 5

BLOWS = {
    "systemctl reload nftables": "systemctl reload nftables",
    "nft -f /etc/nftables.conf": "nft -f /etc/nftables.conf",
    "a rule deleted": (
        "nft delete rule inet filter input handle $(nft -a list chain inet filter input"
        " | sed -n '/10.1.0.0.* dport 8010 .*portguard:/s/.*# handle //p')"
    ),
    "the own table deleted": "nft delete table inet portguard",
    "the own chain flushed": "nft flush chain inet portguard input",
}
"""What somebody does, as they would do it."""


def heals(site: Site) -> int:
    """Count the heals that were told."""
    return len(site.alerts("rule_healed", "resolved"))


def healed_since(site: Site, before: int) -> None:
    """Wait until one more heal was told."""
    site.host.wait_for(lambda: heals(site) > before, "rule_healed")


@pytest.fixture
def patient(unbooted: Site) -> Site:
    """A guarded server that heals the same rule again and again, as it is to be measured."""
    unbooted.configure(configuration(more="[heal]\nmax_heals = 100\n"))
    unbooted.host.boot()
    unbooted.settled()
    return unbooted


@pytest.mark.parametrize("blow", BLOWS)
def test_what_is_taken_away_comes_back_while_a_client_keeps_connecting(
    debian: Debian, patient: Site, blow: str
) -> None:
    site, rules = patient, own_rules(patient)
    assert rules
    assert site.client.reach(PORT) == "open"
    shut = []
    for _ in range(TIMES):
        before = heals(site)
        with site.client.watch(PORT) as watch:
            site.host.run_unit("sh", "-ec", BLOWS[blow])
            healed_since(site, before)
            site.host.wait_for(lambda: own_rules(site) == rules, "every rule as it was")
        assert watch.attempts[-1][1] == "open", "the client is still shut out"
        shut.append(watch.shut_ms)

    assert site.client.reach(PORT, "strangers") == "dropped"
    record(
        debian.name,
        f"shut for the client: {blow}",
        median_ms=statistics.median(shut),
        worst_ms=max(shut),
        times=TIMES,
    )


def test_a_flush_of_everything_shuts_nobody_out_and_the_own_table_is_made_again(host: Site) -> None:
    with host.client.watch(PORT) as watch:
        host.host.run_unit("nft", "flush", "ruleset")
        host.alerted("rule_removed")
        host.host.wait_for(lambda: "table inet portguard" in host.ruleset(), "the own table")

    assert watch.failed == []
    assert "table inet filter" not in host.ruleset(), "another's table is not portguard's to make"


def test_who_took_a_rule_away_is_told_by_name(host: Site) -> None:
    host.host.run_unit("nft", "delete", "table", "inet", "portguard")

    (alert,) = host.alerted("rule_removed")

    # Its number counts outside of this host's pid namespace, so it stays as the kernel gave it.
    assert alert["PORTGUARD_ACTOR_COMM"] == "nft"

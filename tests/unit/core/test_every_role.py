"""Every role of the catalogue: fine as documented, and no longer fine when any one thing of it is missing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
import sites

from portguard.core import guests
from portguard.core.judge import judge
from portguard.core.resolve import resolve
from portguard.model.finding import Verdict
from portguard.model.net import AddressSet
from portguard.model.ruleset import Ruleset, TableKey

if TYPE_CHECKING:
    from portguard.model.listener import Listener
    from portguard.model.policy import Policy

SITE = TableKey("inet", "site")


@cache
def guarded(role: str) -> tuple[Policy, tuple[Listener, ...], Ruleset]:
    """A host of this role behind a firewall that drops by default, healed; every zone and server is defined."""
    catalogue = sites.catalogue()
    components = catalogue.role_by_id[role].components
    zones = {zone.id: AddressSet.of(f"10.{number}.0.0/16") for number, zone in enumerate(catalogue.zones, 30)}
    hosts = {
        component.id: AddressSet.of(f"10.20.0.{number}")
        for number, component in enumerate(catalogue.components, 1)
        if component.id not in components and component.zone is None
    }
    policy = resolve(sites.config(roles=(role,), zones=zones, hosts=hosts, failsafe=()), catalogue)
    listeners = tuple(
        replace(row, address=sites.listener(1, "::1").address) if local_only(policy, row) else row
        for row in sites.documented(policy)
    )
    loopback = (
        {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}},
        {"accept": None},
    )
    site = sites.input_table(sites.ESTABLISHED, loopback, policy="drop", name="site")
    after = guests.plan(policy, sites.snapshot(sites.ruleset(site), listeners)).after
    assert after is not None
    return policy, listeners, after


def local_only(policy: Policy, listener: Listener) -> bool:
    """Documented for this host alone: it belongs on loopback."""
    services = [
        row for row in policy.inbound if row.ports and listener.port in row.ports and row.listener_expected
    ]
    return all(service.local for service in services if service.transport is listener.transport)


def verdict(policy: Policy, listeners: tuple[Listener, ...], ruleset: Ruleset) -> Verdict:
    return judge(policy, sites.snapshot(ruleset, listeners), {}).verdict


ROLES = sorted(sites.catalogue().role_by_id)


@pytest.mark.parametrize("role", ROLES)
def test_a_host_with_all_that_its_role_documents_is_ok(role: str) -> None:
    policy, listeners, ruleset = guarded(role)
    judgement = judge(policy, sites.snapshot(ruleset, listeners), {})

    assert judgement.verdict is Verdict.OK, [finding.message for finding in judgement.findings]
    assert judgement.findings == ()


@pytest.mark.parametrize("role", ROLES)
def test_without_any_one_listener_it_is_critical(role: str) -> None:
    policy, listeners, ruleset = guarded(role)

    for missing in listeners:
        others = tuple(row for row in listeners if row is not missing)
        assert verdict(policy, others, ruleset) is Verdict.CRITICAL, str(missing)


@pytest.mark.parametrize("role", ROLES)
def test_without_any_one_rule_it_is_not_ok(role: str) -> None:
    policy, listeners, ruleset = guarded(role)
    table = ruleset.tables[SITE]

    for missing in (rule for rule in table.rules_of("input") if rule.comment):
        others = tuple(rule for rule in table.rules_of("input") if rule is not missing)
        without = replace(ruleset, tables={SITE: replace(table, rules={"input": others})})
        assert verdict(policy, listeners, without) is not Verdict.OK, missing.comment

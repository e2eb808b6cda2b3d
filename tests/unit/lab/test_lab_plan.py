"""The lab on paper: networks, configuration, ports, and the rulesets that are not portguard's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard import config
from portguard.catalogue import load as catalogues
from portguard.core.resolve import NEVER_OPEN_TO_ALL, resolve
from portguard.errors import UsageError
from portguard.lab import configuration, firewall
from portguard.lab.ports import LONGEST_RANGE, documented, ports_of, probes, undocumented
from portguard.lab.scenario import NAMES, STEPS, choose
from portguard.lab.topology import HOSTS, plan
from portguard.model.net import EVERYTHING, AddressSet, PortRange, Transport
from portguard.model.policy import Direction, Mode, Policy, Service

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = catalogues.load()
TOPOLOGY = plan(CATALOGUE, ["printum/all-in-one"])
ROLES = sorted({role.id for role in CATALOGUE.roles})


def policy_of(role: str, folder: Path) -> Policy:
    """Resolve the lab's own configuration for a role, as the lab does."""
    file = folder / "portguard.toml"
    file.write_text(
        configuration.text([role], plan(CATALOGUE, [role]), folder, folder / "catalogue.d"), encoding="utf-8"
    )
    return resolve(config.load(file, CATALOGUE, {}), CATALOGUE)


def service(**given: object) -> Service:
    """Build a documented TCP service on port 8001 for the workstations, and change what is given."""
    values: dict[str, object] = {
        "flow": "a/flow",
        "transport": Transport.TCP,
        "ports": PortRange(8001, 8001),
        "direction": Direction.INBOUND,
        "zone": "workstations",
        "peers": AddressSet.of("10.1.0.0/16"),
        "need": "required",
        "application": "https",
    }
    return Service(**(values | given))  # type: ignore[arg-type]


def policy(*services: Service) -> Policy:
    return Policy(roles=("a/role",), mode=Mode.HEAL, manager=None, services=services)


@pytest.mark.parametrize("role", ROLES)
def test_the_lab_configures_every_role_of_the_catalogue_and_leaves_no_zone_undefined(
    role: str, tmp_path: Path
) -> None:
    resolved = policy_of(role, tmp_path)

    assert resolved.mode is Mode.HEAL
    assert resolved.undefined == ()


@pytest.mark.parametrize("role", ROLES)
def test_every_inbound_service_of_every_role_has_a_client_that_it_admits(role: str, tmp_path: Path) -> None:
    resolved = policy_of(role, tmp_path)
    tried = {(probe.flow, probe.zone) for probe in probes(resolved, plan(CATALOGUE, [role]), (4, 6))}

    for row in resolved.inbound:
        if ports_of(row) and not row.local and row.peers:
            assert (row.flow, row.zone) in tried


def test_a_client_connects_from_an_address_of_the_zone_that_it_stands_for(tmp_path: Path) -> None:
    resolved = policy_of("printum/all-in-one", tmp_path)

    for probe in probes(resolved, TOPOLOGY, (4,)):
        admitted = [row for row in resolved.inbound if (row.flow, row.zone) == (probe.flow, probe.zone)]
        assert any(probe.source.v4.ip in row.peers for row in admitted)


def test_the_stranger_belongs_to_no_zone() -> None:
    zones = AddressSet.of(*(network for networks in TOPOLOGY.zones.values() for network in networks))

    assert TOPOLOGY.stranger.client == "stranger"
    assert TOPOLOGY.stranger.v4.ip not in zones
    assert TOPOLOGY.stranger.v6.ip not in zones


def test_a_service_for_everyone_is_tried_from_the_stranger() -> None:
    assert TOPOLOGY.source_for(EVERYTHING) == TOPOLOGY.stranger


def test_links_do_not_overlap_each_other_or_the_reserved_ranges() -> None:
    networks = [address.network for host in HOSTS for address in host.addresses]

    for number, network in enumerate(networks):
        assert not any(
            network.version == other.version and network.overlaps(other)
            for other in [*networks[:number], *(row.network for row in CATALOGUE.reserved)]
        )


def test_a_port_stands_on_loopback_only_where_every_service_of_it_is_local() -> None:
    local = service(ports=PortRange(7000, 7000), local=True, peers=AddressSet())
    both = service(local=True, peers=AddressSet())

    assert documented(policy(local, both, service())) == [("tcp", 7000, True), ("tcp", 8001, False)]


def test_the_lab_does_not_stand_on_long_ranges_dynamic_ports_or_icmp() -> None:
    long = service(ports=PortRange(10000, 10000 + LONGEST_RANGE))
    dynamic = service(ports=PortRange(9000, 9001), dynamic=True)
    ping = service(transport=Transport.ICMP, ports=None)

    assert documented(policy(long, dynamic, ping)) == []


def test_an_undocumented_port_is_the_next_that_no_service_names() -> None:
    rows = policy(service(ports=PortRange(6390, 6391)), service(ports=PortRange(1024, 65535), dynamic=True))

    assert undocumented(rows, 6390) == 6392


def test_the_site_keeps_everybody_but_the_peers_from_redis(tmp_path: Path) -> None:
    resolved = policy_of("printum/all-in-one", tmp_path)
    text = firewall.site(resolved)
    ports = {
        row.ports.first
        for row in resolved.inbound
        if row.application in NEVER_OPEN_TO_ALL and row.ports is not None
    }

    assert ports == {6379, 26379}
    for port in ports:
        assert f"ip saddr != {{ 10.4.0.11/32 }} tcp dport {port} drop" in text
        assert f"ip6 saddr != {{ 2001:db8:4::11/128 }} tcp dport {port} drop" in text
    assert text.count("drop") == 2 * len(ports)


def test_a_role_without_redis_and_jmx_has_no_site_rules() -> None:
    assert firewall.site(policy(service())) == ""


def test_all_means_every_step_in_the_order_of_the_scenario() -> None:
    assert [type(step) for step in choose(["all"])] == list(STEPS)


def test_steps_are_played_in_the_order_of_the_scenario_and_once() -> None:
    chosen = choose(["reserved-address", "rule-deleted", "rule-deleted"])

    assert [step.name for step in chosen] == ["rule-deleted", "reserved-address"]


def test_none_plays_nothing() -> None:
    assert choose(["none"]) == []


def test_an_unknown_scenario_is_refused_with_its_near_misses() -> None:
    with pytest.raises(UsageError, match="no scenario 'rule-delete'; did you mean rule-deleted"):
        choose(["rule-delete"])


def test_step_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)

"""Catalogue and configuration become a policy."""

from __future__ import annotations

import pytest
import sites

from portguard.core.resolve import resolve
from portguard.errors import ConfigError
from portguard.model.config import Extra
from portguard.model.net import EVERYTHING, AddressSet, PortRange, Transport
from portguard.model.policy import Direction, Mode, Service


def inbound(flow: str, **changes: object) -> list[Service]:
    return [service for service in sites.policy(**changes).inbound if service.flow == flow]


def test_a_flow_is_one_service_per_port_and_zone() -> None:
    services = inbound("printum/printmanager-web")

    assert [(row.zone, str(row.ports)) for row in services] == [
        ("workstations", "8010"),
        ("printers", "8010"),
    ]
    assert services[1].peers == AddressSet.of("10.2.0.0/16")


def test_a_client_on_this_very_host_needs_no_path() -> None:
    assert "printum/printmanager" not in {row.zone for row in inbound("printum/monitoring-web")}


def test_a_component_on_another_host_is_a_zone_of_its_own() -> None:
    services = inbound("printum/monitoring-web", hosts={"printum/printmanager": AddressSet.of("10.0.0.12")})

    assert [row.zone for row in services] == ["workstations", "printum/printmanager"]


def test_an_undefined_zone_is_open_to_anyone_and_said_so() -> None:
    policy = sites.policy(
        zones={"workstations": sites.ZONES["workstations"], "admins": sites.ZONES["admins"]}
    )

    (row,) = policy.undefined
    assert row.zone == "printers"
    assert row.opened_to_anyone
    assert "printum/scan-ftp" in row.flows
    assert next(s for s in policy.inbound if s.flow == "printum/scan-ftp").peers == EVERYTHING


def test_redis_is_never_opened_to_an_undefined_zone() -> None:
    policy = sites.policy(roles=("printum/redis-sentinel",), hosts={})

    services = [row for row in policy.inbound if row.flow == "printum/redis"]
    assert services
    assert not any(row.peers for row in services)
    assert all(not row.opened_to_anyone for row in policy.undefined if "printum/redis" in row.flows)


def test_redis_without_other_hosts_belongs_on_this_host_only() -> None:
    (service,) = inbound("printum/redis", hosts={})

    assert service.local
    assert not service.peers


def test_source_ports_never_make_a_listener_expected() -> None:
    policy = sites.policy()

    assert all(
        row.direction is Direction.OUTBOUND
        for row in policy.services
        if row.flow == "printum/ephemeral-sources"
    )
    assert not any(row.ports and 40000 in row.ports for row in policy.inbound)


def test_optional_flows_demand_no_listener() -> None:
    assert [row.listener_expected for row in inbound("printum/scan-ftp-data")] == [False]
    assert [row.listener_expected for row in inbound("printum/scan-ftp")] == [True]


def test_a_feature_that_is_not_listed_brings_no_flow() -> None:
    assert not any(row.flow == "printum/syslog" for row in sites.policy().services)
    with_syslog = [row for row in sites.policy(features=("syslog",)).services if row.flow == "printum/syslog"]
    assert {(row.transport, str(row.ports)) for row in with_syslog} == {
        (transport, port) for transport in (Transport.TCP, Transport.UDP) for port in ("514", "1514", "1468")
    }


def test_a_setting_supplies_the_port_that_the_document_leaves_open() -> None:
    policy = sites.policy(
        features=("postgresql",), settings={"printum.postgresqlPort": PortRange(5432, 5432)}
    )

    (row,) = [row for row in policy.services if row.flow == "printum/database-postgresql"]
    assert row.ports == PortRange(5432, 5432)


def test_failsafe_and_extra_come_first_and_demand_no_listener() -> None:
    extra = Extra(
        transport=Transport.TCP, ports=PortRange(9100, 9100), zone="admins", unit="x.service", reason="agent"
    )
    services = sites.policy(extra=(extra,)).services

    assert [row.flow for row in services[:2]] == ["failsafe/tcp-22", "extra/tcp-9100"]
    assert not services[1].listener_expected
    assert services[1].unit == "x.service"


def test_an_unknown_role_names_its_near_misses() -> None:
    with pytest.raises(ConfigError) as caught:
        sites.policy(roles=("printum/allinone",))

    (fault,) = caught.value.faults
    assert fault.message.startswith("no role 'printum/allinone'; did you mean printum/all-in-one")


@pytest.mark.parametrize("mode", [Mode.CONTAIN, Mode.ENFORCE])
def test_a_mode_that_closes_is_refused_with_every_zone_that_it_lacks(mode: Mode) -> None:
    with pytest.raises(ConfigError) as caught:
        sites.policy(mode=mode, zones={})

    paths = {fault.path for fault in caught.value.faults}
    assert {"zones.workstations", "zones.printers"} <= paths
    assert ("mode" in paths) is (mode is Mode.ENFORCE), "enforce itself does not exist yet"


def test_contain_is_a_mode_where_every_zone_is_defined() -> None:
    assert sites.policy(mode=Mode.CONTAIN, confirm_within=30.0).mode is Mode.CONTAIN
    assert sites.policy(mode=Mode.CONTAIN, confirm_within=30.0).confirm_within == 30.0


def test_the_reserved_ranges_of_the_catalogue_are_always_included() -> None:
    assert sites.policy().reserved == AddressSet.of("10.28.32.0/26")


def test_every_role_resolves() -> None:
    catalogue = sites.catalogue()
    for role in catalogue.role_by_id:
        policy = resolve(sites.config(roles=(role,)), catalogue)
        assert policy.services, role


def test_a_vendors_terminal_brings_what_every_terminal_needs() -> None:
    plain = sites.policy(roles=("safeq6/site-server",), features=("embedded-terminal",))
    ricoh = sites.policy(roles=("safeq6/site-server",), features=("embedded-terminal:ricoh",))

    assert {row.flow for row in plain.services} < {row.flow for row in ricoh.services}

"""What an administrator of SafeQ 6 meets in the catalogue, and what its two documents contradict each other about."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from portguard.catalogue.load import DATA
from portguard.model.flow import ONLY_LOCALHOST, REQUIRED, Scope

if TYPE_CHECKING:
    from portguard.model.flow import Catalogue, Flow, Role
    from portguard.model.net import Transport


def named(flow: Flow) -> set[int]:
    """Ports of a flow: the numbers themselves, or both ends of a wide range."""
    return {
        number
        for each in flow.ports
        for number in ((each.first, each.last) if len(each) > 64 else range(each.first, each.last + 1))
    }


@pytest.fixture(scope="module")
def safeq6(shipped: Catalogue) -> list[Flow]:
    return [flow for flow in shipped.flows if flow.product == "safeq6"]


def claims(shipped: Catalogue, role: Role) -> dict[tuple[Transport, int], set[str]]:
    """Components of a role by the port on which they listen."""
    found: defaultdict[tuple[Transport, int], set[str]] = defaultdict(set)
    for flow in shipped.flows:
        if flow.server in role.components and not flow.dynamic:
            for transport in flow.transport.each():
                for number in named(flow):
                    found[transport, number].add(flow.server)
    return found


# --- what an administrator meets --------------------------------------------------------------------------------------


def test_what_002_keeps_on_the_host_is_required_there_and_not_on_the_network(safeq6: list[Flow]) -> None:
    local = {
        flow.id: flow for flow in safeq6 if flow.scope is Scope.LOCALHOST and flow.need != ONLY_LOCALHOST
    }
    assert {flow.ports[0].first for flow in local.values()} == {515, 5557, 5558}
    assert all(flow.need == REQUIRED for flow in local.values())


def test_jmx_is_never_demanded_and_belongs_on_loopback(safeq6: list[Flow]) -> None:
    jmx = [flow for flow in safeq6 if flow.application.startswith("jmx")]
    assert {number for flow in jmx for number in named(flow)} == {19898, 9000, 9696, 9002, 9898, 9999, 19044}
    for flow in jmx:
        assert flow.need == ONLY_LOCALHOST, flow.id
        assert flow.scope is Scope.LOCALHOST, flow.id
        assert "001:9" in map(str, flow.sources), (
            f"{flow.id} does not cite the line that keeps JMX on loopback"
        )


@pytest.mark.parametrize(
    ("setting", "default"),
    [
        ("safeq6.cmlJmxServerPort", 19898),
        ("safeq6.orsJmxServerPort", 9898),
        ("safeq6.jmxRmiServerPort", 9000),
        ("safeq6.ftp-port", 21),
        ("safeq6.webdavPort", 5610),
        ("safeq6.mobileIntegrationGatewayPort", 8050),
    ],
)
def test_a_port_that_a_document_calls_configurable_has_its_setting(
    safeq6: list[Flow], setting: str, default: int
) -> None:
    assert {number for flow in safeq6 if flow.setting == setting for number in named(flow)} == {default}


def test_a_setting_moves_one_port_only(safeq6: list[Flow]) -> None:
    for flow in safeq6:
        assert flow.setting is None or len(flow.ports) <= 1, flow.id
        assert flow.setting is None or flow.setting.startswith("safeq6."), flow.id


def test_ports_that_two_components_of_a_role_claim_are_known_and_can_be_moved(shipped: Catalogue) -> None:
    clashes: dict[int, set[str]] = {}
    for role in shipped.roles:
        if role.id.startswith("safeq6/"):
            for (_, number), components in claims(shipped, role).items():
                if len(components) > 1:
                    clashes.setdefault(number, set()).update(components)
    assert sorted(clashes) == [80, 515, 4096, 5000, 7347, 7348, 9000]
    for flow in shipped.flows:
        for number in named(flow) & clashes.keys():
            if flow.server in clashes[number]:
                assert flow.setting, f"{flow.id}: {number}"
                assert flow.note, f"{flow.id}: {number}"
    for number, components in clashes.items():
        for one, other in combinations(sorted(components), 2):
            movers = [
                {flow.setting for flow in shipped.flows if flow.server == name and number in named(flow)}
                for name in (one, other)
            ]
            assert not movers[0] & movers[1], f"{one} and {other} can only be moved together from {number}"


def test_the_head_of_the_file_lists_every_feature_and_no_other(safeq6: list[Flow]) -> None:
    text = (DATA / "safeq6.toml").read_text(encoding="utf-8")
    _, _, listed = text.partition("# Features")
    listed, _, _ = listed.partition("schema = 1")
    # A list is what stands before a gap of several blanks; what follows it says what the features are.
    lists = [re.split(r"\s{3,}", line.removeprefix("#").strip())[0] for line in listed.splitlines()[1:]]
    assert {word for line in lists for word in line.split()} == {
        flow.feature for flow in safeq6 if flow.feature
    }


def test_a_role_with_features_of_its_own_has_something_to_do_with_them(shipped: Catalogue) -> None:
    for role in shipped.roles:
        for feature in role.features:
            sides = {
                side
                for flow in shipped.flows
                if flow.feature == feature
                for side in (flow.server, *flow.clients)
            }
            assert sides & set(role.components), f"{role.id}: {feature}"


def test_a_server_without_any_feature_is_asked_only_for_what_every_installation_has(
    shipped: Catalogue,
) -> None:
    def asked(name: str) -> set[int]:
        components = shipped.role_by_id[name].components
        flows = [flow for flow in shipped.flows if flow.server in components and flow.need == REQUIRED]
        return {number for flow in flows for number in named(flow)}

    assert asked("safeq6/management-server") == {80, 443, 6010}
    assert asked("safeq6/site-server") == {5555, 5556, 5557, 9090, 9443}
    assert asked("safeq6/payment") == set()


# --- the contradictions between the documents -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("spooler-controller-jmx-rmi", "management-jmx-rmi"),
        ("management-jmx-rmi-shared", "management-jmx-rmi"),
        ("spooler-controller-mobile-gateway", "spooler-controller-mobile-gateway-5556"),
        ("spooler-controller-terminal-server", "spooler-controller-terminal-server-5555"),
        ("spooler-controller-payment", "spooler-controller-payment-5555"),
        ("workflow-processing-endpoint", "workflow-processing-local"),
        ("infinispan-http", "infinispan-roaming"),
        ("infinispan-peers-udp", "infinispan-multicast"),
        ("flexispooler-transfer", "flexispooler-transfer-ymq"),
        ("flexispooler-workstation-lpr", "flexispooler-workstation-lpr-local"),
        ("flexispooler-workstation-desktop", "flexispooler-workstation-desktop-local"),
        ("terminal-server-requests", "terminal-server-requests-local"),
        ("shared-folder-netbios", "shared-folder-netbios-tcp"),
        ("terminal-server-konica-minolta-apps", "terminal-server-apps"),
        ("terminal-server-ricoh-services", "terminal-server-ricoh-services-tls"),
        ("device-konica-minolta-setup", "device-remote-configuration"),
        ("device-hp-setup", "device-hp-setup-tls"),
        ("device-sharp-setup", "device-sharp-setup-web"),
        ("device-fuji-xerox-setup", "device-fuji-xerox-setup-web-tls"),
        ("device-lexmark-setup-ftp-data", "device-lexmark-setup-web"),
        ("device-jobs-ipps-631", "device-jobs-ipp-631"),
        ("terminal-professional-configuration", "device-jobs-terminal"),
        ("directory-management", "directory-management-ldaps"),
        ("mail-servers", "mail-servers-submission"),
    ],
)
def test_both_sides_of_a_contradiction_stay_and_name_each_other(
    shipped: Catalogue, one: str, other: str
) -> None:
    assert f"safeq6/{other}" in shipped.flow_by_id[f"safeq6/{one}"].disputes
    assert f"safeq6/{one}" in shipped.flow_by_id[f"safeq6/{other}"].disputes


def test_the_two_etcd_clusters_are_two_components(shipped: Catalogue) -> None:
    store = {"safeq6/etcd": {2377, 2378}, "safeq6/management-etcd": {2379, 2380}}
    for component, expected in store.items():
        found = {number for flow in shipped.flows if flow.server == component for number in named(flow)}
        assert found == expected

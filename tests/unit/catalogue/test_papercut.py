"""What document 003 states about PaperCut, transcribed by hand a second time and compared with the catalogue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from portguard.catalogue import load, query
from portguard.model.flow import REQUIRED, Security
from portguard.model.net import Transport

if TYPE_CHECKING:
    from portguard.model.flow import Catalogue, Flow

RPC_RANGE = range(49152, 65536)

INBOUND = {
    "brother": {9191},
    "canon": {9191, 9192, 9193},
    "dell": {9191, 9192},
    "hp": {9191, 9192, 9193},
    "fujifilm-bi": {9191, 9192},
    "fuji-xerox": {9191, 9192},
    "konica-minolta": {9191, 9192, 9195},
    "kyocera": {9191, 9192, 9193},
    "lexmark": {9191, 9192, 9193},
    "ricoh": {9191, 9192, 9193},
    "samsung": {9191, 9192, 9193},
    "sharp": {9191, 9192},
    "toshiba": {9191, 9192},
    "toshiba-sdk1": {10389, 10636, 162},
    "toshiba-sdk2": {10389, 10636},
    "xerox": {9191, 9192},
}
OUTBOUND = {
    "dell": {80, 443},
    "hp": {7627, 80, 443},
    "fujifilm-bi": {80, 443},
    "fuji-xerox": {80, 443},
    "konica-minolta": {50003, 80, 443},
    "sharp": {80, 443},
    "toshiba-sdk1": {161},
    "toshiba-sdk2": {49629, 49630},
    "toshiba-sdk3": {49629, 49630, 50083},
    "toshiba-rd30": {49629, 49630},
    "xerox": {80, 443},
}

HOSTS = {
    20: {"mf.cloud.papercut.com"},
    7: {"ldap.google.com"},
    13: {"graph.microsoft.com"},
    22: {"*.papercut.com", "storage.googleapis.com"},
    27: {"update.ocr.cloud.papercut.com"},
    29: {"grows.papercut.com"},
    32: {"accounts.google.com", "oauth2.googleapis.com"},
    33: {"graph.microsoft.com", "login.microsoftonline.com"},
    35: {"pc-job-ticketing.appspot.com", "storage.googleapis.com"},
    39: {
        "login.microsoftonline.com",
        "register.print.microsoft.com",
        "print.print.microsoft.com",
        "notification.print.microsoft.com",
        "us-central1-pc-universal-print-connector.cloudfunctions.net",
    },
    40: {"www.universal-print.papercut.com", "storage.googleapis.com"},
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load.load()


def papercut(catalogue: Catalogue) -> list[Flow]:
    return [flow for flow in catalogue.flows if flow.product == "papercut"]


def of_line(catalogue: Catalogue, line: int) -> list[Flow]:
    return [flow for flow in papercut(catalogue) if any(source.line == line for source in flow.sources)]


def numbers(flows: list[Flow]) -> set[int]:
    return {port for flow in flows for ports in flow.ports for port in range(ports.first, ports.last + 1)}


@pytest.mark.parametrize("vendor", sorted(INBOUND.keys() | OUTBOUND.keys()))
def test_vendor_has_exactly_the_ports_of_its_paragraph_in_each_direction(
    catalogue: Catalogue, vendor: str
) -> None:
    flows = [flow for flow in papercut(catalogue) if flow.feature == f"embedded-terminal:{vendor}"]
    inbound = [flow for flow in flows if flow.server == "papercut/application-server"]
    outbound = [flow for flow in flows if flow.server == "printers"]
    assert inbound + outbound == sorted(flows, key=lambda flow: flow.server == "printers")
    assert numbers(inbound) == INBOUND.get(vendor, set())
    assert numbers(outbound) == OUTBOUND.get(vendor, set())
    assert all(flow.clients == ("printers",) for flow in inbound)
    assert all(flow.clients == ("papercut/application-server",) for flow in outbound)


def test_no_vendor_is_missing_from_the_transcription(catalogue: Catalogue) -> None:
    prefix = "embedded-terminal:"
    vendors = {
        flow.feature for flow in papercut(catalogue) if flow.feature and flow.feature.startswith(prefix)
    }
    assert vendors == {f"{prefix}{vendor}" for vendor in INBOUND.keys() | OUTBOUND.keys()}


@pytest.mark.parametrize("line", sorted(HOSTS))
def test_cloud_endpoints_carry_the_host_names_of_their_line(catalogue: Catalogue, line: int) -> None:
    flows = [flow for flow in of_line(catalogue, line) if flow.hosts]
    named = {host for flow in flows for host in flow.hosts}
    assert named >= HOSTS[line]
    assert line == 22 or named == HOSTS[line]
    assert all(flow.server in {"vendor-cloud", "cloud-services"} for flow in flows)
    assert all(flow.security is Security.ENCRYPTED for flow in flows)


def test_scanning_in_the_cloud_names_both_services_of_all_five_regions_and_the_old_host(
    catalogue: Catalogue,
) -> None:
    flow = next(flow for flow in of_line(catalogue, 23))
    expected = {
        f"{service}.{region}cloud.papercut.com"
        for service in ("scan", "ocr")
        for region in ("", "au.", "eu.", "us.", "uk.")
    }
    assert set(flow.hosts) == expected | {"*.papercut.com", "scan.papercut.com"}


def test_hosts_are_names_without_scheme_or_path(catalogue: Catalogue) -> None:
    for flow in papercut(catalogue):
        assert not [host for host in flow.hosts if "/" in host or ":" in host or not host.isascii()], flow.id


@pytest.mark.parametrize(
    ("line", "statements"),
    [
        (2, {("tcp", 9191), ("tcp", 9192), ("tcp", 9193), ("tcp", 443)}),
        (4, {("tcp", 7778), ("unknown", 10001), ("unknown", 2000)}),
        (6, {("tcp", 1521), ("tcp", 1433), ("tcp", 1450), ("tcp", 3306), ("tcp", 5432)}),
        (10, {("tcp", 636)}),
        (16, {("tcp", 389), ("tcp", 636)}),
        (25, {("tcp", 9181)}),
        (34, {("tcp", 9111)}),
        (42, {("tcp", 445), ("tcp", 135), *(("tcp", port) for port in RPC_RANGE)}),
        (43, {("udp", 137), ("udp", 138), ("tcp", 139)}),
    ],
)
def test_line_states_these_ports_and_no_others(
    catalogue: Catalogue, line: int, statements: set[tuple[str, int]]
) -> None:
    found = {
        (flow.transport.value, port) for flow in of_line(catalogue, line) for port in sorted(numbers([flow]))
    }
    assert found == statements


def test_domain_controller_has_udp_only_for_ldap_and_both_for_smb_kerberos_and_dns(
    catalogue: Catalogue,
) -> None:
    flows = {
        flow.application: flow.transport
        for flow in of_line(catalogue, 18)
        if not flow.dynamic and 135 not in numbers([flow])
    }
    assert flows == {
        "smb": Transport.BOTH,
        "kerberos": Transport.BOTH,
        "dns": Transport.BOTH,
        "ldap": Transport.UDP,
    }


def test_both_wide_ranges_are_paths_and_never_listeners(catalogue: Catalogue) -> None:
    wide = [flow for flow in papercut(catalogue) if any(len(ports) > 2 for ports in flow.ports)]
    assert [flow.id for flow in wide] == ["papercut/domain-rpc-dynamic", "papercut/spooler-rpc-dynamic"]
    assert all(flow.dynamic and flow.feature for flow in wide)


def test_external_databases_can_be_moved_by_one_setting(catalogue: Catalogue) -> None:
    databases = [flow for flow in papercut(catalogue) if flow.server == "database-servers"]
    assert {flow.feature for flow in databases} == {
        f"database:{name}" for name in ("oracle", "sqlserver", "sqlserver-express", "mysql", "postgresql")
    }
    assert {flow.setting for flow in databases} == {"papercut.databasePort"}


@pytest.mark.parametrize(
    ("role", "required"),
    [
        ("papercut/primary", {9191, 9192}),
        ("papercut/secondary", set()),
        ("papercut/site", {9191, 9192}),
        ("papercut/document-processing", {9181}),
        ("papercut/job-ticketing", {9111}),
        ("papercut/universal-print", set()),
        ("papercut/all-in-one", {9111, 9181, 9191, 9192}),
    ],
)
def test_role_demands_only_what_listens_on_every_such_server(
    catalogue: Catalogue, role: str, required: set[int]
) -> None:
    components = query.role(catalogue, role).components
    demanded = [flow for flow in query.inbound(catalogue, components) if flow.need == REQUIRED]
    assert numbers(demanded) == required


def test_connectors_for_universal_print_talk_to_each_other_on_9151(catalogue: Catalogue) -> None:
    (flow,) = [flow for flow in papercut(catalogue) if 9151 in numbers([flow])]
    assert (flow.clients, flow.server) == (("papercut/universal-print",), "papercut/universal-print")


def test_parts_whose_ports_stand_on_other_pages_are_components_without_a_flow(catalogue: Catalogue) -> None:
    for part in ("papercut/print-deploy", "papercut/mobility-print"):
        component = catalogue.component_by_id[part]
        assert not component.listens
        assert "not in document 003" in component.title
        assert not [flow.id for flow in catalogue.flows if part in (flow.server, *flow.clients)]


def test_features_and_settings_are_those_that_the_head_of_the_file_lists(catalogue: Catalogue) -> None:
    text = (load.DATA / "papercut.toml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[a-zA-Z0-9.:-]*[a-zA-Z0-9]", text[: text.index("schema = ")]))
    features = {
        flow.feature.removeprefix("embedded-terminal:") for flow in papercut(catalogue) if flow.feature
    }
    assert features <= listed
    assert {flow.setting for flow in papercut(catalogue) if flow.setting} <= listed


def test_primary_and_print_provider_do_not_want_the_same_port(catalogue: Catalogue) -> None:
    assert (
        query.clashes(query.inbound(catalogue, query.role(catalogue, "papercut/all-in-one").components)) == ()
    )

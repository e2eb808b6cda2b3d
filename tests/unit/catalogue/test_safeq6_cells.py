"""SafeQ 6 against its two documents, cell by cell."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest

from portguard.model.flow import NEED_UNKNOWN, ONLY_LOCALHOST, OPTIONAL, REQUIRED, Security
from portguard.model.net import Transport

if TYPE_CHECKING:
    from portguard.model.flow import Catalogue, Flow

Documents = dict[str, list[str]]

SIDES: dict[str, set[str]] = {
    "User": {"workstations", "admins"},
    "User/LPD": {"workstations"},
    "User (termtool user utility)": {"admins"},
    "SafeQ Client": {"workstations"},
    "System spooler (Windows)": {"workstations"},
    "System spooler (MAC)": {"workstations"},
    "Mobile device": {"mobile-devices"},
    "Other app (e.g. SAP) LPR printing": {"business-servers"},
    "ProactiveCare": {"monitoring"},
    "Management": {"safeq6/management-service"},
    "LDAP Replicator service": {"safeq6/ldap-replicator"},
    "Spooler Controller": {"safeq6/spooler-controller"},
    "Spooler Controller group": {"safeq6/spooler-controller-group"},
    "Infinispan": {"safeq6/infinispan"},
    "Terminal Server": {"safeq6/terminal-server"},
    "Terminal Server (SQTA)": {"safeq6/terminal-server"},
    "Terminal Server (ETCD)": {"safeq6/etcd"},
    "Workflow Processing System": {"safeq6/workflow-processing-system"},
    "End User Interface": {"safeq6/end-user-interface"},
    "\N{EN DASH}": {"safeq6/end-user-interface"},  # client of AJP: nobody is named, so it talks to itself
    "Mobile Integration Gateway": {"safeq6/mobile-integration-gateway"},
    "Mobile Print Server": {"safeq6/mobile-print-server"},
    "FlexiSpooler": {"safeq6/flexispooler-server", "safeq6/flexispooler-workstation"},
    "Flexispooler": {"safeq6/flexispooler-server", "safeq6/flexispooler-workstation"},
    "FlexiSpooler server/client spooling": {"safeq6/flexispooler-server", "safeq6/flexispooler-workstation"},
    "FlexiSpooler server/client non spooling": {
        "safeq6/flexispooler-server",
        "safeq6/flexispooler-workstation",
    },
    "FlexiSpooler server spooling/non spooling": {"safeq6/flexispooler-server"},
    "FlexiSpooler client spooling/non spooling": {"safeq6/flexispooler-workstation"},
    "Desktop Interface": {"safeq6/desktop-interface"},
    "Shared folder": {"safeq6/shared-folder"},
    "Shared folder (used by EUI)": {"safeq6/shared-folder"},
    "Payment System": {"safeq6/payment-system"},
    "Payment System Web Interface": {"safeq6/payment-system"},
    "Payment Gateway": {"payment-services"},
    "External Payment System": {"payment-services"},
    "Payment machine (SPM)": {"payment-machines"},
    "IMS": {"safeq6/ims"},
    "IMS Proxy": {"safeq6/ims-proxy"},
    "UA": {"appliances"},
    "EDEE": {"appliances"},
    "Terminal Ultralight": {"terminals"},
    "Terminal Professional": {"terminals"},
    "Network card reader": {"terminals"},
    "USB card reader": {"terminals"},
    "MFD/PC": {"printers"},
    "Database server (MS SQL)": {"safeq6/database-mssql"},
    "Database server (PGSQL)": {"safeq6/database-postgresql", "safeq6/database-embedded"},
    "LDAP Server": {"directory-servers"},
    "Identity Provider (SAML)": {"identity-providers"},
    "Mail Server": {"mail-servers"},
    "External System": {"local-network"},
    "File System": {"file-servers"},
    "Microsoft Exchange": {"business-servers"},
    "Microsoft SharePoint 2010": {"business-servers"},
    "Microsoft SharePoint 2013": {"business-servers"},
    "Microsoft SharePoint 2016": {"business-servers"},
    "HP Records Manager (HP Trim)": {"business-servers"},
    "Microsoft OneDrive for Business (365)": {"cloud-services"},
    "Microsoft SharePoint Online (365)": {"cloud-services"},
    "DropBox (Business/Enterprise)": {"cloud-services"},
    "Spooler": {"safeq6/spooler"},
    "Spooler (Server Spooling)": {"safeq6/spooler"},
    "Job Service": {"safeq6/job-service"},
    "JS Infinispan": {"safeq6/job-service-infinispan"},
    "Identity Server": {"safeq6/identity-server"},
    "MySafeQ": {"safeq6/my-safeq"},
    "edge-config-application": {"safeq6/edge-config-application"},
    "edge-remote-site-server-config": {"safeq6/edge-remote-site-server-config"},
}
KINDS = {
    "Embedded terminal for ": {"printers"},
    "MFD": {"printers"},
    "Mobile terminal": {"mobile-devices"},
    "Terminal Professional (": {"terminals"},
}
"""Names of 001 that go on with a vendor, a model or a system."""

PATHS: dict[str, set[str]] = {
    "Management Service": {"safeq6/management-service"},
    "Management Service / Payment System": {"safeq6/management-service", "safeq6/payment-system"},
    "Management installer": {"safeq6/management-service"},
    "SpoolerController": {"safeq6/spooler-controller", "safeq6/infinispan"},
    "TerminalServer": {"safeq6/terminal-server"},
    "Terminal Server": {"safeq6/terminal-server"},
    "Mobile Integration Gateway": {"safeq6/mobile-integration-gateway"},
    "etcd": {"safeq6/etcd", "safeq6/management-etcd"},
    "LDAP": {"directory-servers"},
    "YSoft SafeQ Payment Machine": {"payment-machines"},
    "YSoft Payment System": {"safeq6/payment-system"},
    "YSoft": {"safeq6/payment-system"},  # 002:126, cut by a page break
    "MSSQL DB": {"safeq6/database-mssql"},
    "subnet": {"local-network"},
    "client": {"mobile-devices", "workstations"},
    "FlexiSpooler": {"safeq6/flexispooler-workstation", "safeq6/flexispooler-server"},
    "Desktop interface": {"safeq6/desktop-interface"},
    "Windows Spooler": {"safeq6/flexispooler-workstation"},  # the same host: no zone names it
    "MFD": {"printers"},
    "Azure AD": {"cloud-services"},
    "Administrator": {"admins"},
    "Terminal Pro 4": {"appliances"},
}
"""Names in the path cells of 002, ``client > server``; any of the sides."""

DEVICES = {"printers", "terminals", "appliances", "mobile-devices"}

EITHER_MEANING = {
    "User": {"workstations", "admins"},
    "Database server (PGSQL)": SIDES["Database server (PGSQL)"],
}
"""Names that stand for one of several sides, not for all of them."""


class Row(NamedTuple):
    """One row of 001, whatever number of lines it takes up."""

    lines: range
    client: str
    server: str
    plain: str
    secured: str
    protocol: str
    network: str


def side(name: str) -> set[str]:
    if name in SIDES:
        return SIDES[name]
    return next(sides for start, sides in KINDS.items() if name.startswith(start))


def ports(cell: str) -> set[int]:
    return {int(number) for number in re.findall(r"\d{2,5}", cell)}


def named(flow: Flow) -> set[int]:
    """Ports of a flow as a row writes them: the numbers themselves, or both ends of a wide range."""
    return {
        number
        for each in flow.ports
        for number in ((each.first, each.last) if len(each) > 64 else range(each.first, each.last + 1))
    }


@pytest.fixture(scope="module")
def rows(documents: Documents) -> list[Row]:
    text = documents["001"]
    found = []
    for at, line in enumerate(text):
        if "|" not in line or line.startswith(("|", "Client side")):
            continue
        end = at + 1
        while end < len(text) and text[end].startswith("|"):
            end += 1
        cells = [cell.strip() for cell in " ".join(text[at:end]).split("|")]
        found.append(Row(range(at + 1, end + 1), *cells[:6]))
    return found


@pytest.fixture(scope="module")
def of_line(shipped: Catalogue) -> dict[str, list[Flow]]:
    """Flows by the line that they cite, ``001:19``."""
    found: defaultdict[str, list[Flow]] = defaultdict(list)
    for flow in shipped.flows:
        for source in flow.sources:
            found[str(source)].append(flow)
    return found


# --- 001, the tables by component -------------------------------------------------------------------------------------


def test_001_has_the_rows_that_a_reader_counts(rows: list[Row]) -> None:
    assert len(rows) == 184
    assert sum(len(row.lines) for row in rows) == 220


def test_every_row_of_001_is_cited_with_all_its_lines(
    rows: list[Row], of_line: dict[str, list[Flow]]
) -> None:
    for row in rows:
        first = {flow.id for flow in of_line[f"001:{row.lines[0]}"]}
        assert first, row
        for line in row.lines[1:]:
            assert {flow.id for flow in of_line[f"001:{line}"]} == first, f"001:{line}"


def test_client_and_server_of_every_row_of_001_are_those_of_its_flows(
    rows: list[Row], of_line: dict[str, list[Flow]]
) -> None:
    for row in rows:
        flows = of_line[f"001:{row.lines[0]}"]
        clients = {client for flow in flows for client in flow.clients}
        if row.client in EITHER_MEANING:
            assert clients & side(row.client), row
        else:
            assert side(row.client) <= clients, row
        for flow in flows:
            assert side(row.client) & set(flow.clients), f"{flow.id}: {row}"
            assert flow.server in side(row.server), f"{flow.id}: {row}"


def test_ports_and_columns_of_every_row_of_001_are_those_of_its_flows(
    rows: list[Row], of_line: dict[str, list[Flow]]
) -> None:
    for row in rows:
        flows = of_line[f"001:{row.lines[0]}"]
        plain, secured = ports(row.plain), ports(row.secured)
        assert plain | secured <= {number for flow in flows for number in named(flow)}, row
        for flow in flows:
            if named(flow) & (plain - secured):
                assert flow.security is not Security.ENCRYPTED, f"{flow.id}: {row}"
            if named(flow) & (secured - plain):
                assert flow.security is not Security.PLAIN, f"{flow.id}: {row}"


def test_a_row_of_001_that_leaves_its_port_to_the_site_has_a_setting(
    rows: list[Row], of_line: dict[str, list[Flow]]
) -> None:
    left = [row for row in rows if {"User defined", "Device-dependent"} & {row.plain, row.secured}]
    assert len(left) == 15
    for row in left:
        assert any(flow.setting for flow in of_line[f"001:{row.lines[0]}"]), row


def test_the_transport_of_every_row_of_001_is_that_of_its_flows(
    rows: list[Row], of_line: dict[str, list[Flow]]
) -> None:
    meant = {
        "TCP": {Transport.TCP},
        "UDP": {Transport.UDP},
        "TCP/UDP": {Transport.TCP, Transport.UDP, Transport.BOTH},
        "ICMP": {Transport.ICMP},
        "": set(Transport),
    }
    for row in rows:
        allowed = meant[row.network]
        if "or UDP" in row.protocol:
            allowed = {Transport.BOTH}
        for flow in of_line[f"001:{row.lines[0]}"]:
            assert flow.transport in allowed, f"{flow.id}: {row}"


# --- 002, the tables by direction -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken", [(18, 21), (41, 44), (50, 53), (58, 61), (91, 94), (101, 104), (112, 115), (126, 129)]
)
def test_a_row_of_002_that_a_page_break_cuts_is_one_row(
    broken: tuple[int, int], of_line: dict[str, list[Flow]]
) -> None:
    first, second = ({flow.id for flow in of_line[f"002:{line}"]} for line in broken)
    assert first
    assert first == second


def cells(documents: Documents) -> list[tuple[int, list[str]]]:
    """Rows of 002 with their line; the second halves of broken rows have no transport and are left out."""
    split = [(line, text.split("\t")) for line, text in enumerate(documents["002"], 1) if "\t" in text]
    return [(line, row) for line, row in split if not row[0].startswith("Required") and row[1].strip()]


def test_the_transport_of_every_row_of_002_is_that_of_its_flows(
    documents: Documents, of_line: dict[str, list[Flow]]
) -> None:
    for line, row in cells(documents):
        kind = row[1]
        allowed = {Transport.UDP} if kind.startswith("UDP") else {Transport.TCP}
        if kind == "TCP UDP":
            allowed = {Transport.TCP, Transport.UDP}
        assert {flow.transport for flow in of_line[f"002:{line}"]} == allowed, f"002:{line}"


def test_the_need_of_every_row_of_002_is_that_of_its_flows(
    documents: Documents, of_line: dict[str, list[Flow]]
) -> None:
    for line, row in cells(documents):
        needs = {flow.need for flow in of_line[f"002:{line}"]}
        if "Localhost" in row[0]:
            assert needs == {ONLY_LOCALHOST}, f"002:{line}"
        elif row[0].startswith("Optional"):
            assert REQUIRED not in needs, f"002:{line}"
        elif row[0] == "Mandatory" and line < 139:
            assert REQUIRED in needs, f"002:{line}"
        else:
            assert needs - {OPTIONAL, NEED_UNKNOWN}, f"002:{line}"


def test_the_path_cell_of_every_row_of_002_names_the_sides_of_its_flows(
    documents: Documents, of_line: dict[str, list[Flow]]
) -> None:
    paths = [(line, row[3]) for line, row in cells(documents) if " > " in row[3]]
    assert len(paths) == 35
    for line, path in paths:
        client, server = re.sub(r" proprietary.*|^\(localhost only\) ", "", path).split(" > ")
        for flow in of_line[f"002:{line}"]:
            assert PATHS[client] & set(flow.clients), f"{flow.id}: 002:{line}"
            assert flow.server in PATHS[server], f"{flow.id}: 002:{line}"


def test_the_section_of_every_row_of_002_gives_the_direction_of_its_flows(
    documents: Documents, of_line: dict[str, list[Flow]]
) -> None:
    """Workstations to servers from line 9, servers to printers from 30, printers to servers from 64 to 87."""
    for line, _ in cells(documents):
        for flow in of_line[f"002:{line}"]:
            ours = flow.server.startswith("safeq6/")
            if line < 30:
                assert ours, f"{flow.id}: 002:{line}"
            elif line < 64:
                assert flow.server in DEVICES, f"{flow.id}: 002:{line}"
                assert all(client.startswith("safeq6/") for client in flow.clients), f"{flow.id}: 002:{line}"
            elif line < 85 or line == 86:  # 002:85 is out of its place: it joins two servers
                assert ours, f"{flow.id}: 002:{line}"
                assert DEVICES & set(flow.clients), f"{flow.id}: 002:{line}"

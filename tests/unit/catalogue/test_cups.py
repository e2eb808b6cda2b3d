"""What document 004 states about CUPS, transcribed by hand a second time and compared with the catalogue."""

from __future__ import annotations

import pytest

from portguard.catalogue import load, query
from portguard.model.flow import REQUIRED, Catalogue, Flow

ROWS = {
    20: ("tcp+udp", "53", {"out"}),
    21: ("tcp", "631", {"in"}),
    22: ("udp", "5353", {"in", "out"}),
    32: ("udp", "137", {"in", "out"}),
    33: ("tcp", "139", {"in"}),
    34: ("tcp", "445", {"in", "out"}),
    51: ("tcp+udp", "53", {"out"}),
    52: ("udp", "137", {"out"}),
    53: ("tcp", "139", {"out"}),
    54: ("udp", "161", {"out"}),
    55: ("tcp", "443", {"out"}),
    56: ("tcp", "445", {"out"}),
    57: ("tcp", "515", {"out"}),
    58: ("tcp", "631", {"out"}),
    59: ("udp", "5353", {"out"}),
    60: ("tcp", "9100-9102", {"out"}),
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load.load()


def direction(flow: Flow) -> str:
    return "in" if flow.server.startswith("cups/") else "out"


@pytest.mark.parametrize("line", sorted(ROWS))
def test_row_is_one_flow_for_each_direction(catalogue: Catalogue, line: int) -> None:
    transport, ports, directions = ROWS[line]
    flows = [flow for flow in catalogue.flows if f"004:{line}" in map(str, flow.sources)]
    assert sorted(direction(flow) for flow in flows) == sorted(directions)
    for flow in flows:
        assert (flow.transport.value, ", ".join(map(str, flow.ports))) == (transport, ports)


def test_no_other_line_of_the_page_is_cited(catalogue: Catalogue) -> None:
    cited = {source.line for flow in catalogue.flows for source in flow.sources if source.document == "004"}
    assert cited == set(ROWS)


@pytest.mark.parametrize(
    ("role", "required"),
    [
        ("cups/print-server", ["631"]),
        ("cups/print-server-samba", ["631", "445"]),
        ("cups/behind-printum", ["1631"]),
    ],
)
def test_role_demands_only_what_listens_on_every_such_server(
    catalogue: Catalogue, role: str, required: list[str]
) -> None:
    components = query.role(catalogue, role).components
    demanded = [flow for flow in query.inbound(catalogue, components) if flow.need == REQUIRED]
    assert [str(ports) for flow in demanded for ports in flow.ports] == required


def test_behind_printum_631_is_nobodys_port(catalogue: Catalogue) -> None:
    components = query.role(catalogue, "cups/behind-printum").components
    assert [use.flow.id for use in query.using(catalogue, 631, components=components)] == ["cups/printer-ipp"]


def test_both_schedulers_print_on_the_same_printers(catalogue: Catalogue) -> None:
    alone = query.outbound(catalogue, ("cups/scheduler",))
    behind = query.outbound(catalogue, ("cups/scheduler-behind-printum",))
    assert alone == behind
    assert {str(ports) for flow in alone if flow.server == "printers" for ports in flow.ports} == {
        "137",
        "139",
        "161",
        "443",
        "445",
        "515",
        "631",
        "9100-9102",
    }


def test_jobs_over_lpd_are_not_taken(catalogue: Catalogue) -> None:
    accepted = query.inbound(catalogue, ("cups/scheduler", "cups/samba", "cups/mdns"))
    assert not [flow.id for flow in accepted if flow.application == "lpd"]


def test_printum_and_its_cups_claim_one_listener_and_the_note_says_so(catalogue: Catalogue) -> None:
    components = ("printum/printmanager", "cups/scheduler-behind-printum")
    (clash,) = query.clashes(query.inbound(catalogue, components))
    assert (str(clash.ports), clash.settings) == ("1631", ("cups.portBehindPrintum",))
    note = catalogue.flow_by_id["cups/ipp-behind-printum"].note
    assert note is not None
    assert "printum/direct-print" in note

"""The catalogue against the vendors' documents, from the documents' side: nothing is left out, nothing is made up."""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portguard.model.flow import Catalogue, Flow

Documents = dict[str, list[str]]
Place = tuple[str, int]
"""Document and line, from 1."""

EXCUSES = Path(__file__).with_name("uncited.toml")
ROW = {
    "000": re.compile("\t"),
    "001": re.compile(r"\|"),
    "002": re.compile("\t"),
    "003": re.compile(r"(?!)"),  # prose
    "004": re.compile("<tr>"),
}
NUMBER = re.compile(r"(?<![\w.])\d{2,5}(?!\w|\.\d)")
"""What looks like a port. Dotted numbers are addresses and releases; no document has a port of one digit."""

NARROW = 64
"""Up to so many ports, a range states each of them; a wider one must not swallow a number that no flow names."""

COPIED = 6
"""So many words in a row, the same as in a document, are a copy."""


def numbers(text: str) -> list[int]:
    """Find what may be ports, each once, in the order of the text."""
    return [number for number in dict.fromkeys(map(int, NUMBER.findall(text))) if 1 <= number <= 65535]


def stated(flows: Iterable[Flow]) -> set[int]:
    """Collect every port that flows state by number."""
    found: set[int] = set()
    for flow in flows:
        for ports in (*flow.ports, *flow.source_ports):
            wide = len(ports) > NARROW
            found.update((ports.first, ports.last) if wide else range(ports.first, ports.last + 1))
    return found


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def runs(text: str) -> Iterator[tuple[str, ...]]:
    """Every run of words that is long enough to be a copy."""
    found = words(text)
    return (tuple(found[at : at + COPIED]) for at in range(len(found) - COPIED + 1))


@pytest.fixture(scope="module")
def cited(shipped: Catalogue) -> Mapping[Place, list[Flow]]:
    found: defaultdict[Place, list[Flow]] = defaultdict(list)
    for flow in shipped.flows:
        for source in flow.sources:
            found[source.document, source.line].append(flow)
    return found


@pytest.fixture(scope="module")
def reserved(shipped: Catalogue) -> set[Place]:
    return {(source.document, source.line) for row in shipped.reserved for source in row.sources}


@pytest.fixture(scope="module")
def excused_lines() -> list[Place]:
    rows = tomllib.loads(EXCUSES.read_text(encoding="utf-8"))["line"]
    assert all(row["reason"] for row in rows)
    return [(row["document"], line) for row in rows for line in row["lines"]]


@pytest.fixture(scope="module")
def excused_numbers() -> list[tuple[Place, int]]:
    """Numbers on lines; a list of numbers for several lines excuses on each line those that stand there."""
    rows = tomllib.loads(EXCUSES.read_text(encoding="utf-8"))["number"]
    assert all(row["reason"] for row in rows)
    return [
        ((row["document"], line), number)
        for row in rows
        for line in row["lines"]
        for number in row["numbers"]
    ]


def must_be_cited(document: str, text: str) -> bool:
    return bool(ROW[document].search(text) or numbers(text))


def test_every_row_and_every_line_that_names_a_port_is_cited_or_listed_with_a_reason(
    documents: Documents,
    cited: Mapping[Place, list[Flow]],
    reserved: set[Place],
    excused_lines: list[Place],
) -> None:
    left_out = [
        f"{document}:{line}: {text}"
        for document, lines in documents.items()
        for line, text in enumerate(lines, 1)
        if must_be_cited(document, text)
        and (document, line) not in cited
        and (document, line) not in reserved
        and (document, line) not in excused_lines
    ]
    assert not left_out, "\n".join(left_out)


def test_every_number_on_a_cited_line_is_among_the_ports_of_its_flows_or_listed_with_a_reason(
    documents: Documents, cited: Mapping[Place, list[Flow]], excused_numbers: list[tuple[Place, int]]
) -> None:
    left_out = [
        f"{document}:{line}: {number}"
        for (document, line), flows in cited.items()
        for number in numbers(documents[document][line - 1])
        if number not in stated(flows) and ((document, line), number) not in excused_numbers
    ]
    assert not left_out, "\n".join(left_out)


def test_no_flow_names_a_port_that_none_of_its_lines_names(shipped: Catalogue, documents: Documents) -> None:
    made_up = [
        f"{flow.id}: {ports}"
        for flow in shipped.flows
        for ports in (*flow.ports, *flow.source_ports)
        if not {ports.first, ports.last}
        <= {
            number
            for source in flow.sources
            for number in numbers(documents[source.document][source.line - 1])
        }
    ]
    assert not made_up, "\n".join(made_up)


def test_every_flow_cites_lines_that_exist_each_once(shipped: Catalogue, documents: Documents) -> None:
    for flow in shipped.flows:
        # A part that a document only mentions, and sends the reader elsewhere for its ports, has no line to cite.
        assert flow.sources or (not flow.ports and flow.note), flow.id
        assert len(set(flow.sources)) == len(flow.sources), flow.id
        for source in flow.sources:
            lines = documents[source.document]
            assert source.line <= len(lines), f"{flow.id}: {source}"
            assert lines[source.line - 1].strip(), f"{flow.id}: {source} is empty"


def test_the_list_of_reasons_holds_nothing_that_needs_none(
    documents: Documents,
    cited: Mapping[Place, list[Flow]],
    excused_lines: list[Place],
    excused_numbers: list[tuple[Place, int]],
) -> None:
    assert [place for place, times in Counter(excused_lines).items() if times > 1] == []
    for document, line in excused_lines:
        assert must_be_cited(document, documents[document][line - 1]), f"{document}:{line} needs no reason"
        assert (document, line) not in cited, f"{document}:{line} is cited"
    standing = {
        (place, number)
        for place, number in excused_numbers
        if number in numbers(documents[place[0]][place[1] - 1])
    }
    assert {place for place, _ in standing} == {place for place, _ in excused_numbers}
    assert {number for _, number in standing} == {number for _, number in excused_numbers}
    for place, number in standing:
        assert number not in stated(cited[place]), f"{place[0]}:{place[1]}: {number} is a port of its flows"


def test_all_five_documents_are_in_the_catalogue(shipped: Catalogue) -> None:
    assert sorted(document.id for document in shipped.documents) == ["000", "001", "002", "003", "004"]


def test_no_purpose_and_no_note_copies_a_sentence(shipped: Catalogue, documents: Documents) -> None:
    theirs = {run for lines in documents.values() for run in runs(" ".join(lines))}
    copied = [
        f"{flow.id}: {' '.join(run)}"
        for flow in shipped.flows
        for text in (flow.purpose, flow.note or "")
        for run in runs(text)
        if run in theirs
    ]
    assert not copied, "\n".join(copied)


def test_every_dispute_is_mutual_and_says_what_differs(shipped: Catalogue) -> None:
    disputed = [flow for flow in shipped.flows if flow.disputes]
    assert disputed
    for flow in disputed:
        assert flow.id not in flow.disputes
        for name in flow.disputes:
            assert flow.id in shipped.flow_by_id[name].disputes, f"{name} does not answer {flow.id}"
            assert flow.note or shipped.flow_by_id[name].note, f"neither {flow.id} nor {name} has a note"


def test_every_component_that_listens_is_in_a_role_and_serves_a_flow(shipped: Catalogue) -> None:
    placed = {component for role in shipped.roles for component in role.components}
    serving = {flow.server for flow in shipped.flows}
    for component in shipped.components:
        if component.listens:
            assert component.id in placed, component.id
            assert component.id in serving, component.id
        else:
            assert component.id not in serving, component.id


def test_no_id_stands_twice_and_every_id_begins_with_its_product(shipped: Catalogue) -> None:
    for rows in (shipped.flows, shipped.components, shipped.roles):
        ids = [row.id for row in rows]
        assert [name for name, times in Counter(ids).items() if times > 1] == []
        products = {document.product for document in shipped.documents}
        assert {name.partition("/")[0] for name in ids} == products
    assert all(flow.id.startswith(f"{flow.product}/") for flow in shipped.flows)


def test_every_wide_range_is_one_from_which_ports_are_picked(shipped: Catalogue) -> None:
    for flow in shipped.flows:
        if any(len(ports) > NARROW for ports in flow.ports):
            assert flow.dynamic, f"{flow.id} would make every listener in its range documented"
        elif flow.ports:
            assert not flow.dynamic, flow.id


def test_what_looks_like_a_port_is_found_and_what_does_not_is_not() -> None:
    assert numbers("515/9100/80 and 5014\N{EN DASH}5019, 443/(80)") == [515, 9100, 80, 5014, 5019, 443]
    assert numbers("10.28.32.0/26 v2.0 0x0000011b help/929851/ cc646023 24.0 99999") == [26]

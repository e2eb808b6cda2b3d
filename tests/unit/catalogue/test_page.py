"""The generated page ``docs/ports.md``, and the example of ``docs/catalogue.md``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portguard.catalogue import load, page, query
from portguard.cli import catalogue as command

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def text() -> str:
    return page.page(load.load())


def test_the_page_in_docs_is_up_to_date(text: str) -> None:
    assert (DOCS / "ports.md").read_text(encoding="utf-8") == text, "run: make docs"


def test_every_role_has_a_section_with_every_port_that_it_accepts(text: str) -> None:
    sections = dict(re.findall(r"^## (\S+/\S+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    catalogue = load.load()
    assert list(sections) == [role.id for role in catalogue.roles]
    for role in catalogue.roles:
        for flow in query.inbound(catalogue, role.components):
            for ports in flow.ports:
                assert f"{ports}/" in sections[role.id], (role.id, flow.id)


def test_every_row_has_as_many_cells_as_its_heading(text: str) -> None:
    width = 0
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert cells == width or not width or not cells, line
        width = cells


def test_every_link_to_a_role_has_a_heading(text: str) -> None:
    anchors = {page._anchor(heading) for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert links
    assert set(links) <= anchors
    assert len(set(links)) == len(links)


def test_text_of_a_catalogue_cannot_break_a_table() -> None:
    assert page._text("a | b [c] <i> *d*") == r"a \| b \[c\] \<i\> \*d\*"


def test_disputes_of_the_documents_are_on_the_page(text: str) -> None:
    catalogue = load.load()
    section = text[text.index("## Where documents disagree") : text.index("## Notes on single flows")]
    disputing = [flow for flow in catalogue.flows if flow.disputes]
    assert disputing
    for flow in disputing:
        for name in (flow.id, *flow.disputes):
            assert f"`{name}`" in section


def test_the_example_of_the_format_is_without_fault_and_sums_up_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("badge.toml").write_text(example, encoding="utf-8")
    load.load([Path("badge.toml")])
    for key, ids in command._contents(Path("badge.toml")).items():
        if ids:
            assert re.search(rf"^  {key} +{re.escape(', '.join(ids))}$", manual, re.MULTILINE), key


def test_the_format_names_every_key_that_the_shipped_files_use() -> None:
    manual = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    used = {
        match[1]
        for path in load.DATA.glob("*.toml")
        if path.name != "zones.toml"
        for match in re.finditer(r"^([a-z_]+) = ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert "source_ports" in used
    assert {key for key in used if f"`{key}`" not in manual} == set()


def test_the_manual_names_every_key_of_the_json_documents() -> None:
    manual = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    document = query.to_json(load.load())
    for keys in (document, document["flows"][0], document["roles"][0], document["components"][0]):
        assert not [key for key in keys if f"`{key}`" not in manual]

"""Every MESSAGE_ID in the code, the journal's catalogue, the docs and the manual page: the same ones, with the same words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portguard.alert.explanations import EXPLANATIONS
from portguard.alert.message import FIELDS, MESSAGE_IDS
from portguard.manual import events
from portguard.model.finding import Kind

DOCS = Path(__file__).parents[3] / "docs" / "events.md"
PAGE = events.page(date="2026-11-21", version="1.2.3")
LONGEST_SUBJECT = 80
"""Characters; journalctl prints it on a line of its own."""


def test_every_kind_is_explained_once() -> None:
    assert set(EXPLANATIONS) == set(Kind) == set(MESSAGE_IDS)


def test_the_catalogue_explains_every_message_id_and_no_other() -> None:
    assert re.findall(r"^-- (\S+)$", events.catalogue(), re.MULTILINE) == [
        MESSAGE_IDS[kind] for kind in EXPLANATIONS
    ]


def test_the_manual_page_has_every_kind_with_its_message_id() -> None:
    sections = re.findall(r"^\.SS \\fB(\w+)\\fR\n(.*?)(?=^\.S[SH])", PAGE, re.MULTILINE | re.DOTALL)
    assert [(name, MESSAGE_IDS[Kind(name)] in text) for name, text in sections] == [
        (kind.value, True) for kind in EXPLANATIONS
    ]


def test_the_table_in_the_docs_is_up_to_date() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert events.renewed(text) == text, "run: make docs"


def test_docs_without_the_place_for_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match="lost the place"):
        events.renewed("# Events\n")


@pytest.mark.parametrize("kind", EXPLANATIONS)
def test_a_text_is_one_that_the_journal_can_show(kind: Kind) -> None:
    row = EXPLANATIONS[kind]
    text = events.catalogue().split(f"-- {MESSAGE_IDS[kind]}\n")[1].split("\n-- ")[0]

    assert len(row.subject) <= LONGEST_SUBJECT
    assert row.next
    for name in re.findall(r"@([^@\s]+)@", text):
        assert name.removeprefix("PORTGUARD_") in FIELDS
    # A line that begins so would begin another entry, or a comment.
    assert not re.search(r"^(--|#)", text, re.MULTILINE)
    assert all(end in ".;:" for end in (row.cause[-1], row.impact[-1], row.done[-1]))

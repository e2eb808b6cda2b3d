"""The author of a change is completed before anybody is told, and nobody else is put in their place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from portguard.core.exchange import Heal
from portguard.core.lifecycle import Alert, AlertState
from portguard.daemon.authors import Authors
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.ruleset import Actor
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from portguard.kernel.background import Background

HEARD = Actor(comm="nft", pid=7, heard=1.0)
KNOWN = replace(HEARD, parent="sh", parents=("sh",), login="bob", package="nftables")


class Knowing:
    """Knows the one, and nothing of anybody else."""

    def complete(self, actor: Actor) -> Actor:
        return KNOWN if actor == HEARD else actor


@pytest.fixture
def authors() -> Authors:
    return Authors(cast("Background", Knowing()))


def alert(evidence: dict[str, object], message: str) -> Alert:
    finding = Finding(
        kind=Kind.RULE_REMOVED, severity=Severity.WARNING, message=message, subject="x", evidence=evidence
    )
    return Alert(finding=finding, state=AlertState.FIRING, since=datetime(2026, 1, 1, tzinfo=UTC))


def test_an_alert_names_its_author_in_full_in_sentence_and_evidence(authors: Authors) -> None:
    told = authors.of_alert(alert({"actor": HEARD, "rules": 3}, f"a rule was removed by {HEARD}"))

    assert told.finding.message == f"a rule was removed by {KNOWN}"
    assert told.finding.evidence == {"actor": KNOWN, "rules": 3}
    assert told.finding.id == alert({}, "").finding.id


@pytest.mark.parametrize("evidence", [{}, {"actor": None}, {"actor": "nft"}, {"actor": Actor(comm="other")}])
def test_an_alert_without_an_author_that_more_is_known_of_stays_as_it_is(
    authors: Authors, evidence: dict[str, object]
) -> None:
    one = alert(evidence, "a rule was removed")

    assert authors.of_alert(one) is one


def test_a_heal_has_its_author_in_full_or_none(authors: Authors) -> None:
    heal = Heal(
        transaction=Transaction(operations=()), keys=frozenset(), flows=(), what="3 rules were removed",
        kind=Kind.RULE_REMOVED, actor=HEARD, began=1.0,
    )  # fmt: skip

    assert authors.of_heal(heal).actor == KNOWN
    assert authors.of_heal(replace(heal, actor=None)).actor is None

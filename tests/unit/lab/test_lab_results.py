"""What a run says of itself: to people, to programs, and in the documentation."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from portguard.cli.lab_view import View
from portguard.lab.results import Connection, Detection, Healing, LabResult, Outage, StepResult, Sweep
from portguard.lab.scenario import STEPS

DOCS = (Path(__file__).resolve().parents[3] / "docs/lab.md").read_text(encoding="utf-8")

STEP = StepResult(
    name="rule-replaced",
    title="A rule is replaced",
    did=("nft replace rule",),
    detected=(
        Detection(
            kind="rule_altered", state="firing", severity="warning", message="it was altered", after_ms=19.1
        ),
    ),
    healed=(Healing(what="rule x", took_ms=13.8, measured_ms=14.4, actor={"comm": "nft", "parent": "bash"}),),
    connections=(
        Connection(
            client="admin",
            zone="admins",
            flow="a/flow",
            transport="tcp",
            port=7000,
            version=6,
            before="open",
            struck="dropped",
            after="open",
        ),
    ),
    outage=Outage(client="admin", transport="tcp", port=7000, attempts=87, lost=12, dark_ms=26.0),
    sweep=Sweep(tried=64, shut=()),
    resolved=("flow_wider",),
    took_s=0.5,
)


def shown(*steps: StepResult) -> str:
    """Print steps as a pipe gets them."""
    stream = io.StringIO()
    view = View(Console(file=stream, width=160), table=False)
    for step in steps:
        view.finished(step)
    view.played(LabResult(role=("a/role",), steps=list(steps)))
    return stream.getvalue()


def documented() -> dict[str, Any]:
    """Read the example document of docs/lab.md."""
    block = re.search(r"```json\n(.*?)```", DOCS, re.DOTALL)
    assert block is not None
    example: dict[str, Any] = json.loads(block[1])
    return example


def test_the_document_has_exactly_the_keys_that_the_documentation_promises() -> None:
    example = documented()
    document = LabResult(role=("a/role",), steps=[STEP]).json()

    assert document.keys() == example.keys()
    step, promised = document["steps"][0], example["steps"][0]
    assert step.keys() == promised.keys()
    for key in ("detected", "healed", "connections"):
        assert step[key][0].keys() == promised[key][0].keys()
    assert step["outage"].keys() == promised["outage"].keys()
    assert step["sweep"].keys() == promised["sweep"].keys()


def test_every_step_is_documented() -> None:
    for step in STEPS:
        assert f"| `{step.name}` |" in DOCS


def test_a_run_is_right_when_every_step_is() -> None:
    wrong = StepResult(name="table-deleted", title="x", problems=("nothing was healed",))

    assert LabResult(role=(), steps=[STEP]).failed == ()
    assert LabResult(role=(), steps=[STEP, wrong]).failed == ("table-deleted",)
    assert LabResult(role=(), steps=[STEP, wrong]).json()["ok"] is False


def test_a_skipped_step_is_no_failure() -> None:
    skipped = StepResult(name="listener-died", title="A listener dies", skipped="the role requires none")

    assert skipped.ok
    assert "1 of 1 steps" in shown(STEP, skipped)
    assert "the role requires none" in shown(skipped)


def test_a_person_reads_what_was_done_detected_healed_by_whom_and_how_long_it_took() -> None:
    text = shown(STEP)

    assert "nft replace rule" in text
    assert "rule_altered after 19 ms: it was altered" in text
    assert "in 13.8 ms (14.4 ms seen from outside); done by nft, from bash" in text
    assert "admin to 7000/tcp, IPv6: before open, after the blow dropped, at the end open" in text
    assert "87 connections, admin to 7000/tcp: 12 lost, dark for 26 ms" in text
    assert "64 of 64 connections open" in text


def test_a_person_reads_what_went_wrong_and_in_which_step() -> None:
    text = shown(StepResult(name="table-deleted", title="The table", problems=("nothing was healed",)))

    assert "nothing was healed" in text
    assert "not as it should be: table-deleted" in text


def test_every_value_of_a_step_is_in_its_document() -> None:
    assert {field.name for field in fields(StepResult)} | {"ok"} == STEP.json().keys()

"""Random rulesets, random packets, and the kernel's word on each: the evaluation may not be wrong once.

By default more than 300 rulesets and 3,600 packets, the same ones every time. ``make fuzz`` sets
``PORTGUARD_FUZZ_PACKETS`` and draws new ones on each run, or those behind ``PORTGUARD_FUZZ_SEED``; it prints what it found.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from packets import Kernel, Probe
from random_rulesets import PORTS, Draw, probes, rulesets

from path_questions import LINKS
from portguard.core.path import evaluate
from portguard.kernel.raw_rules import with_details
from portguard.kernel.ruleset_json import parse_ruleset
from portguard.kernel.ruleset_text import join_text, needs_text
from portguard.model.net import EVERYTHING, AddressSet, Transport
from portguard.model.path import Branch, Outcome, PathClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Links

pytestmark = pytest.mark.kernel

WANTED = int(os.environ.get("PORTGUARD_FUZZ_PACKETS", "3660"))
LONG = "PORTGUARD_FUZZ_PACKETS" in os.environ
FIRST = int(os.environ.get("PORTGUARD_FUZZ_SEED") or (int(time.time()) << 20 if LONG else 0))
PER_RULESET = 12
UNSUPPORTED = (
    "not known beforehand",
    "differs from packet to packet",
    "lets some through",
    "bytes of an echo request",
    "comes out of a translation",
    "more than the listing shows",
    "may have added it",
    "bits are not known",
)
"""Constructs of which the outcome may be unknown, by what the reason says of them (docs/path.md lists them)."""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel(PORTS) as found:
        yield found


def test_fuzz_evaluation_agrees_with_the_kernel(kernel: Kernel) -> None:
    seen: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    seed = FIRST
    while seen["packets"] < WANTED:
        seed += 1
        draw = Draw(seed)
        text = draw(rulesets())
        try:
            kernel.load(text)
        except ValueError as fault:
            refused[str(fault)] += 1
            continue
        seen["rulesets"] += 1
        check(kernel, text, [draw(probes()) for _ in range(PER_RULESET)], seen, f"seed {seed}")
    if LONG:
        print(f"\nseeds {FIRST + 1} to {seed}: {dict(seen)}; refused by nft: {dict(refused)}")  # noqa: T201 - asked for
    assert seen["rulesets"] >= WANTED // PER_RULESET
    assert seen["rulesets"] > sum(refused.values()), refused
    assert min(seen[Outcome.OPEN], seen[Outcome.DROPPED], seen[Outcome.REFUSED]) >= seen["packets"] // 25
    assert seen[Outcome.UNKNOWN] <= seen["packets"] * 0.02
    assert seen["named differently"] <= seen["packets"] * 0.002


def check(kernel: Kernel, text: str, asked: list[Probe], seen: Counter[str], name: str) -> None:
    """Hold the evaluation of a ruleset that is loaded against what the kernel does with each packet."""
    # What packets add to a set changes the answer for the next one: then each is judged by the latest listing.
    at_once = 1 if "add @" in text or "update @" in text else len(asked)
    for start in range(0, len(asked), at_once):
        batch = asked[start : start + at_once]
        ruleset = listed(kernel)
        for probe, answer in zip(batch, kernel.send(batch), strict=True):
            branch = judged(ruleset, probe, name, seen)
            seen["packets"] += 1
            seen[branch.outcome] += 1
            if branch.outcome is Outcome.UNKNOWN:
                assert any(word in str(branch.reason) for word in UNSUPPORTED), (name, probe, branch)
                continue
            assert allows(branch, answer.outcome), (
                f"{name}: {probe}\nkernel: {answer}\nevaluated: {branch}\n{text}"
            )


def listed(kernel: Kernel) -> Ruleset:
    """Read the server's ruleset as the daemon does."""
    ruleset = parse_ruleset(kernel.listing(), generation=1)
    if needs_text(ruleset):
        ruleset = join_text(ruleset, kernel.text())
    return with_details(ruleset, kernel.asking)


def allows(branch: Branch, outcome: Outcome) -> bool:
    """Whether an outcome is what a branch says: ``dropped`` with a reason says that it may be told, too."""
    either = branch.outcome is Outcome.DROPPED and branch.reason is not None
    return outcome is branch.outcome or (either and outcome is Outcome.REFUSED)


def judged(ruleset: Ruleset, probe: Probe, name: str, seen: Counter[str]) -> Branch:
    """Evaluate a probe in four ways that must agree: alone, among all sources, by its route, and without links.

    Where a packet may meet either of two rules that do the same, any of them may be named.
    """
    source = AddressSet.of(str(probe.source))
    alone = evaluated(ruleset, probe, source, (probe.interface,), LINKS)
    among = evaluated(ruleset, probe, EVERYTHING, (probe.interface,), LINKS)
    routed = evaluated(ruleset, probe, source, None, LINKS)
    blind = evaluated(ruleset, probe, source, None, None)
    assert among.outcome is alone.outcome, f"{name}: {probe}\nalone: {alone}\namong all: {among}"
    seen["named differently"] += (among.by, among.general) != (alone.by, alone.general)
    assert routed.outcome is alone.outcome, f"{name}: {probe}\nalone: {alone}\nrouted: {routed}"
    assert blind.outcome is Outcome.UNKNOWN or allows(blind, alone.outcome), (
        f"{name}: {probe}\nalone: {alone}\nblind: {blind}"
    )
    return alone


def evaluated(
    ruleset: Ruleset,
    probe: Probe,
    sources: AddressSet,
    interfaces: tuple[str, ...] | None,
    known: Links | None,
) -> Branch:
    """Say what the evaluation makes of a probe's source."""
    ask = PathClass(
        transport=probe.transport,
        port=None if probe.transport is Transport.ICMP else probe.port,
        destination=AddressSet.of(str(probe.destination)),
        interfaces=interfaces,
        sources=sources,
    )
    report = evaluate(ruleset, ask, known)
    whole = AddressSet()
    for branch in report.branches:
        assert not branch.sources & whole, f"two branches hold the same sources: {report}"
        whole |= branch.sources
    version = AddressSet(EVERYTHING.v4) if probe.version == 4 else AddressSet((), EVERYTHING.v6)
    assert whole == sources & version, f"the branches do not cover the sources: {report}"
    return next(branch for branch in report.branches if probe.source in branch.sources)

"""Who reaches what: all flows of the largest role against every zone, over rulesets of many shapes."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

from bench import server
from bench.figures import Figure, Samples
from bench.sandbox import run, say
from bench.shapes import SHAPES, addition, blocklist, concatenations
from portguard.core.path import settle
from portguard.core.reach import Reach
from portguard.daemon.observer import Observer
from portguard.daemon.site import load_site
from portguard.kernel.real import open_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.kernel.world import World
    from portguard.model.policy import Policy
    from portguard.model.snapshot import Snapshot

T = TypeVar("T")

LARGEST = "safeq6/single-server"
TITLE = f"the path of every flow of {LARGEST} from every zone"
UNIT = "ms"
AIMS = {1000: 50.0, 10_000: 300.0}
"""Aims of issue 4 for the verdicts, by foreign rules; the reading is not part of them."""
ELEMENTS = 100_000


def measure(*, quick: bool) -> list[Figure]:
    """Measure each shape: everything new, and after one more rule. Raises RuntimeError where nothing can be read."""
    policy = load_site(server.write_config(LARGEST)).policy
    cases: list[tuple[str, str, float | None]] = [
        (f"{count:,} rules: {name}", shape(count), aim)
        for count, aim in AIMS.items()
        for name, shape in SHAPES.items()
    ]
    cases += [
        (f"a set of {ELEMENTS:,} addresses", blocklist(ELEMENTS, interval=False), None),
        (f"a set of {ELEMENTS:,} networks", blocklist(ELEMENTS, interval=True), None),
        (f"a set of {ELEMENTS:,} concatenations", concatenations(ELEMENTS), None),
    ]
    figures = []
    world = open_world()
    try:
        for case, text, aim in cases:
            say(case)
            run("nft", "flush", "ruleset")
            run("nft", "-f", "-", text=text)
            figures += _case(case, text, aim, _Bench(policy, world), 2 if quick else 7)
    finally:
        world.close()
    return figures


class _Bench:
    """What is done to one ruleset, with the milliseconds that it took."""

    def __init__(self, policy: Policy, world: World) -> None:
        self._policy = policy
        self._world = world
        self._observer = Observer(world)

    def forget(self) -> None:
        """Know nothing any longer."""
        settle(None)
        self._observer = Observer(self._world)

    def read(self) -> Snapshot:
        """Read what changed."""
        return self._observer.snapshot()

    def hear(self) -> None:
        """Take the announcements, as the daemon does."""
        self._observer.ruleset_changed(self._world.ruleset_events.read().changes)

    def judge(self, snapshot: Snapshot) -> int:
        """Evaluate every flow from every zone; gives how many parts of zones there were."""
        reach = Reach(snapshot.ruleset, snapshot.links, snapshot.listeners)
        return sum(
            len(report.within(zone).branches)
            for service in self._policy.inbound
            for report in reach.ports(service.transport, service.ports)
            for zone in self._policy.zones.values()
        )


def _case(case: str, text: str, aim: float | None, bench: _Bench, repetitions: int) -> list[Figure]:
    rows: dict[str, list[float]] = {
        "nft -j list ruleset and json.loads": [],
        "portguard reads": [],
        "portguard judges, all of it new": [],
        "portguard reads one more rule": [],
        "portguard judges, one rule more": [],
    }
    taken = list(rows.values())
    parts = 0
    for _ in range(repetitions):
        bench.forget()
        taken[0].append(_timed(_listed)[0])
        taken_in, snapshot = _timed(bench.read)
        taken[1].append(taken_in)
        judged, parts = _timed(lambda seen=snapshot: bench.judge(seen))  # type: ignore[misc]
        taken[2].append(judged)
        bench.hear()
        run("nft", addition(text))
        bench.hear()
        taken_in, snapshot = _timed(bench.read)
        taken[3].append(taken_in)
        judged, _ = _timed(lambda seen=snapshot: bench.judge(seen))  # type: ignore[misc]
        taken[4].append(judged)
        if snapshot.gaps:
            raise RuntimeError(f"{case}: {snapshot.gaps[0]}")
    return [
        Figure(
            case=case,
            subject=subject,
            unit=UNIT,
            samples=Samples.of(values),
            aim=aim if "judges" in subject else None,
            note=f"{parts} parts" if "new" in subject else "",
        )
        for subject, values in rows.items()
    ]


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1000.0, result


def _listed() -> object:
    """Do what is the least that anybody has to do who wants to know the ruleset."""
    listing = subprocess.run(["nft", "-j", "list", "ruleset"], stdout=subprocess.PIPE, check=True)
    return json.loads(listing.stdout)

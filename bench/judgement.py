"""One full judgement: everything read anew, and every documented service and listener judged."""

from __future__ import annotations

import time
from contextlib import ExitStack

from bench import server
from bench.figures import Figure, Samples
from bench.foreign import ruleset
from bench.sandbox import run, say
from portguard.core.judge import judge
from portguard.core.planning import plan
from portguard.daemon.observer import Observer
from portguard.daemon.site import load_site
from portguard.kernel.real import open_world

TITLE = f"a full judgement of {server.ROLE}"
UNIT = "ms"
ELEMENTS = 100_000


def measure(*, quick: bool) -> list[Figure]:
    """Measure with foreign rulesets of several sizes, none of them written by portguard."""
    cases = [
        ("no foreign rules", ""),
        ("1,000 foreign rules", ruleset(1000)),
        ("10,000 foreign rules", ruleset(10_000)),
        (f"a set of {ELEMENTS:,} addresses", ruleset(100, elements=ELEMENTS)),
        (f"a set of {ELEMENTS:,} networks", ruleset(100, elements=ELEMENTS, interval=True)),
    ]
    figures = []
    site = load_site(server.write_config())
    with ExitStack() as stack:
        stack.enter_context(server.listeners())
        world = open_world()
        stack.callback(world.close)
        observer = Observer(world)
        for case, text in cases:
            say(f"judgement with {case}")
            run("nft", "flush", "ruleset")
            if text:
                run("nft", "-f", "-", text=text)
            observer.everything_changed()
            # What the daemon would write stands, as it would on a guarded host.
            transaction, _ = plan(site.policy, observer.snapshot())
            world.firewall.commit(transaction)
            reading, judging = [], []
            for _ in range(2 if quick else 10):
                observer.everything_changed()
                began = time.perf_counter()
                snapshot = observer.snapshot()
                read = time.perf_counter()
                verdict = judge(site.policy, snapshot, observer.sensitive()).verdict
                judging.append((time.perf_counter() - read) * 1000.0)
                reading.append((read - began) * 1000.0)
            whole = [first + second for first, second in zip(reading, judging, strict=True)]
            gaps = ", ".join(f"{gap.scope}: {gap.reason}" for gap in snapshot.gaps)
            note = f"verdict {verdict.value}" + (f"; {gaps}" if gaps else "")
            for subject, values, said in (
                ("reading", reading, ""),
                ("judging", judging, ""),
                ("both", whole, note),
            ):
                figures.append(
                    Figure(case=case, subject=subject, unit=UNIT, samples=Samples.of(values), note=said)
                )
    return figures

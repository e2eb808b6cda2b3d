"""From a foreign commit to the healed rule: the real daemon against a watcher that runs ``nft -f``.

The clock is a third process (:mod:`bench.announcements`) that notes when the kernel announced the foreign transaction and
when it announced the healer's. After each repetition the table is compared with what it was before.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import server
from bench.figures import Figure, Samples
from bench.foreign import ruleset
from bench.processes import rests
from bench.sandbox import PYTHON, Helper, child, helper, run, say
from portguard.kernel.generation import ask_generation, open_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TITLE = "from a foreign commit to the healed rule"
UNIT = "ms"
AIM_ALIVE = 5.0
AIM_ONE_SHOT = 30.0
"""Wider, because a program that ends after deleting rules makes the kernel wait for an RCU grace period with the commit
lock held: whoever commits next waits with it."""
AIM_GROWTH = 1.5
"""The median with the most foreign rules by the one without: "does not grow", with room for noise."""

TABLE = ("inet", "portguard")
_WITHIN = 20.0
ACTIONS = ("one rule deleted", "table deleted", "flush ruleset")
ALIVE, ONE_SHOT = "a writer that stays alive", "one-shot nft"


class Clock:
    """What the observing process has seen."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._moments: queue.Queue[tuple[int, int]] = queue.Queue()
        self._process = process
        self._asking = open_generation()
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the observer of announcements did not start")
        threading.Thread(target=self._read, daemon=True).start()

    def generation(self) -> int:
        """Ask the kernel for the generation of the ruleset now."""
        return ask_generation(self._asking)

    def of(self, generation: int) -> int:
        """Give the moment at which a generation was announced, in nanoseconds; older ones are passed over.

        Raises RuntimeError when it does not come.
        """
        try:
            while True:
                at, number = self._moments.get(timeout=_WITHIN)
                if number == generation:
                    return at
        except queue.Empty:
            raise RuntimeError("nothing was healed") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, number = line.split()
            self._moments.put((int(at), int(number)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What every repetition needs."""

    clock: Clock
    write: Callable[[str], None]
    healer: int
    """Process id of who is to heal."""
    wanted: str
    """The table as it has to be again."""
    restore: str
    """Foreign rules that a flush takes away and that stand again before the next repetition; may be empty."""

    def once(self, action: str) -> float:
        """Break something and return the milliseconds until it was whole again. Raises RuntimeError when it is not."""
        rests(self.healer)
        command = _command(action)
        before = self.clock.generation()
        self.write(command)
        broken = self.clock.of(before + 1)
        rests(self.healer)
        # A healer that needs two transactions is done when the second is.
        healed = self.clock.of(max(self.clock.generation(), before + 2))
        if own_table() != self.wanted:
            raise RuntimeError(f"after {action!r} the table is not what it was")
        if self.restore and action == "flush ruleset":
            run("nft", "-f", "-", text=self.restore)
        return (healed - broken) / 1e6


def own_table() -> str:
    """List the guarded table: rules sorted, because they all accept and may stand in any order."""
    return "\n".join(sorted(run("nft", "-s", "list", "table", *TABLE).splitlines()))


def _command(action: str) -> str:
    if action == "table deleted":
        return "delete table inet portguard"
    if action == "flush ruleset":
        return "flush ruleset"
    rows = json.loads(run("nft", "-j", "list", "chain", *TABLE, "input"))["nftables"]
    handles = [row["rule"]["handle"] for row in rows if "rule" in row]
    return f"delete rule inet portguard input handle {handles[len(handles) // 2]}"


def measure(*, quick: bool) -> list[Figure]:
    """Measure every combination; the daemon first, then the watcher with the table that the daemon made."""
    repetitions = 4 if quick else 20
    sizes = (0, 1000) if quick else (0, 1000, 10_000)
    found: dict[tuple[str, int, str, str], Samples] = {}
    server.write_config()
    with ExitStack() as stack:
        stack.enter_context(server.listeners())
        clock = Clock(stack.enter_context(child(PYTHON, "-m", "bench.announcements", stdout=subprocess.PIPE)))
        writer = stack.enter_context(helper("bench.writer"))
        writers: dict[str, Callable[[str], None]] = {
            ALIVE: lambda text: _ask(writer, text),
            ONE_SHOT: _one_shot,
        }
        for size in sizes:
            text = ruleset(size) if size else ""
            for subject, healer in (("portguard", _daemon), ("nft -f", _watcher)):
                run("nft", "flush", "ruleset") if subject == "portguard" else None
                if text and subject == "portguard":
                    run("nft", "-f", "-", text=text)
                with healer() as pid:
                    rests(pid)
                    wanted = own_table()
                    # The wait for a writer that ends is the kernel's: more rules would tell nothing of the healer.
                    for name, write in (writers if size == 0 else {ALIVE: writers[ALIVE]}).items():
                        trial = Trial(clock=clock, write=write, healer=pid, wanted=wanted, restore=text)
                        for action in ACTIONS:
                            say(f"{subject}, {size:,} foreign rules, {action} by {name}")
                            values = [trial.once(action) for _ in range(repetitions)]
                            found[action, size, name, subject] = Samples.of(values)
    return list(_figures(found, sizes))


@contextmanager
def _daemon() -> Iterator[int]:
    with server.daemon() as process:
        yield process.pid


@contextmanager
def _watcher() -> Iterator[int]:
    """Guard the table that the daemon left behind, as it stands."""
    rules = server.FOLDER / "rules.nft"
    table = run("nft", "-s", "list", "table", *TABLE)
    rules.write_text(f"add table inet portguard\ndelete table inet portguard\n{table}", encoding="utf-8")
    with child(PYTHON, "-m", "bench.watcher", str(rules), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the watcher did not start")
        yield process.pid


def _ask(writer: Helper, text: str) -> None:
    answer = writer.ask(text)
    if answer != "ok":
        raise RuntimeError(f"{text}: {answer}")


def _one_shot(text: str) -> None:
    run("nft", *text.split())


def _figures(found: dict[tuple[str, int, str, str], Samples], sizes: tuple[int, ...]) -> Iterator[Figure]:
    aims = {ALIVE: AIM_ALIVE, ONE_SHOT: AIM_ONE_SHOT}
    for (action, size, name, subject), samples in found.items():
        if subject == "portguard":
            rules = f"{size:,} foreign rules" if size else "no foreign rules"
            case = f"{action} by {name}, {rules}"
            yield Figure(case=case, subject=subject, unit=UNIT, samples=samples, aim=aims[name])
            bare = found[action, size, name, "nft -f"]
            yield Figure(case=case, subject="watcher with nft -f", unit=UNIT, samples=bare)
    for subject in ("portguard", "nft -f"):
        for action in ACTIONS:
            none, most = (found[action, size, ALIVE, subject] for size in (sizes[0], sizes[-1]))
            yield Figure(
                case=f"growth: the median with {sizes[-1]:,} foreign rules by that with none",
                subject=f"{subject}: {action}",
                unit="times",
                samples=Samples.of([most.median / none.median]),
                aim=AIM_GROWTH if subject == "portguard" else None,
            )

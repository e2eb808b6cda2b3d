"""From listen() to the journal: a Redis that anybody can reach, announced by the kernel or polled for, beside ``ss`` in a loop.

The journal is a socket in its place: what is timed is the arrival of the entry there. Then a storm of connections, of which the
kernel is to announce nothing.
"""

from __future__ import annotations

import queue
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import processes, server
from bench.figures import Figure, Samples, absent
from bench.sandbox import PYTHON, child, helper, say
from bench.tracing import trace_instance
from portguard.kernel.trace import BINDS, LISTENS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.sandbox import Helper

TITLE = "from listen() to the entry in the journal"
UNIT = "ms"
AIM_ANNOUNCED = 20.0
AIM_POLLED = 1200.0
AIM_STORM = 1.0
JOURNAL = Path("/run/systemd/journal/socket")
NO_INSTANCE = server.FOLDER / "no-trace-instance"

_AS_REDIS = ("bash", "-c", 'exec -a redis-server "$0" "$@"')
_FIRST_PORT = 20000
_WITHIN = 10.0
_SETTLE = 3.0
_STORMS = 2
"""Processes that make connections: one for each core that this was written on."""


def measure(*, quick: bool) -> list[Figure]:
    """Measure with announcements, with polling, and the storm."""
    times = 5 if quick else 100
    figures: list[Figure] = []
    with ExitStack() as stack:
        journal = stack.enter_context(_journal())
        stack.enter_context(server.listeners())
        opener = stack.enter_context(helper("bench.opener", before=_AS_REDIS))
        ports = iter(range(_FIRST_PORT, _FIRST_PORT + 4 * times))
        try:
            instance = stack.enter_context(trace_instance("portguard-bench"))
        except RuntimeError as error:
            figures.append(absent("an exposed Redis", "portguard, announced", UNIT, str(error)))
        else:
            server.write_config(trace=instance)
            with server.daemon() as ours:
                time.sleep(_SETTLE)
                say("listeners that the kernel announces")
                found = [_once(opener, journal, next(ports), pause=0.2) for _ in range(times)]
                figures.append(_figure("portguard, announced", found, AIM_ANNOUNCED))
                figures += _storm(ours.pid, instance, 2.0 if quick else 15.0)
        server.write_config(trace=NO_INSTANCE)
        with server.daemon(), _ss() as seen:
            time.sleep(_SETTLE)
            say("listeners that are polled for")
            polled, watched = [], []
            for _ in range(times):
                port = next(ports)
                began = int(opener.ask(str(port)))
                polled.append((_arrival(journal, port) - began) / 1e6)
                watched.append((_arrival(seen, port) - began) / 1e6)
                opener.ask("0")
                time.sleep(random.uniform(0.0, 1.0))  # so that they begin at any moment of a second
            figures.insert(1, _figure("portguard, polling", polled, AIM_POLLED))
            figures.insert(2, _figure("ss every second", watched, None))
    return figures


def _figure(subject: str, values: list[float], aim: float | None) -> Figure:
    return Figure(case="an exposed Redis", subject=subject, unit=UNIT, samples=Samples.of(values), aim=aim)


def _once(opener: Helper, journal: queue.Queue[tuple[int, int]], port: int, *, pause: float) -> float:
    began = int(opener.ask(str(port)))
    took = (_arrival(journal, port) - began) / 1e6
    # Its end is another thing to look at, and is not to be in the way of the next.
    opener.ask("0")
    time.sleep(pause)
    return took


def _arrival(arrivals: queue.Queue[tuple[int, int]], port: int) -> int:
    """Give the moment at which a port was told, in nanoseconds. Raises RuntimeError when it is not."""
    try:
        while True:
            at, told = arrivals.get(timeout=_WITHIN)
            if told == port:
                return at
    except queue.Empty:
        raise RuntimeError(f"port {port} was not reported") from None


@contextmanager
def _journal() -> Iterator[queue.Queue[tuple[int, int]]]:
    """Stand in for the journal, and note when which port was first called exposed."""
    arrivals: queue.Queue[tuple[int, int]] = queue.Queue()
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
        mailbox.bind(str(JOURNAL))
        threading.Thread(target=_read_journal, args=(mailbox, arrivals), daemon=True).start()
        yield arrivals


def _read_journal(mailbox: socket.socket, arrivals: queue.Queue[tuple[int, int]]) -> None:
    while True:
        try:
            entry = mailbox.recv(1 << 16)
        except OSError:
            return
        at = time.monotonic_ns()
        lines = (line.partition("=") for line in entry.decode(errors="replace").splitlines())
        words = {key.removeprefix("PORTGUARD_"): value for key, _, value in lines}
        if (words.get("EVENT"), words.get("STATE")) == ("service_exposed", "firing"):
            arrivals.put((at, int(words.get("PORT", "0"))))


@contextmanager
def _ss() -> Iterator[queue.Queue[tuple[int, int]]]:
    """Run the loop of ``ss``, and note when it first saw which port."""
    arrivals: queue.Queue[tuple[int, int]] = queue.Queue()
    with child(PYTHON, "-m", "bench.ss_watcher", stdout=-1) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the loop of ss did not start")
        threading.Thread(target=_read_ss, args=(process.stdout, arrivals), daemon=True).start()
        yield arrivals


def _read_ss(lines: Iterator[str], arrivals: queue.Queue[tuple[int, int]]) -> None:
    for line in lines:
        at, port = line.split()
        arrivals.put((int(at), int(port)))


def _storm(daemon: int, instance: Path, seconds: float) -> Iterator[Figure]:
    """Let connections rain, and see what the daemon does about it.

    What other programs of the machine bind is announced to the daemon all the while, and looked at: their number is told.
    """
    case = "a storm of connections"
    with ExitStack() as stack:
        makers = [
            stack.enter_context(helper("bench.storm", str(30000 + number))) for number in range(_STORMS)
        ]
        pids = [int(maker.ask("pid")) for maker in makers]
        # Announcements are those of the whole machine: a second instance counts what comes of the storm alone.
        counter = stack.enter_context(trace_instance("portguard-count"))
        for event in (LISTENS, BINDS):
            condition = (counter / event / "filter").read_text().strip()
            whose = " || ".join(f"common_pid=={pid}" for pid in pids)
            (counter / event / "filter").write_text(f"({condition}) && ({whose})")
        time.sleep(1.0)
        say(f"nothing in particular, for {seconds:.0f} s")
        others = _events(instance)
        calm = _used(daemon, lambda: time.sleep(seconds))
        others_calm = _events(instance) - others
        say(f"a storm of connections, for {seconds:.0f} s")
        counts: list[int] = []
        events, others = _events(counter), _events(instance)
        with ThreadPoolExecutor() as pool:
            storm = _used(
                daemon, lambda: counts.extend(pool.map(lambda maker: int(maker.ask(str(seconds))), makers))
            )
        announced = _events(counter) - events
        others_storm = _events(instance) - others
    for subject, unit, value, aim, note in (
        (
            "announcements", "", float(announced), 0.0,
            f"{sum(counts) / seconds:,.0f} connections/s over {seconds:.0f} s",
        ),
        ("CPU of portguard", "% of a core", storm, AIM_STORM, f"{others_storm} announcements of other programs"),
        ("the same, without a storm", "% of a core", calm, None, f"{others_calm} announcements of other programs"),
    ):  # fmt: skip
        yield Figure(case=case, subject=subject, unit=unit, samples=Samples.of([value]), aim=aim, note=note)


def _used(pid: int, meanwhile: Callable[[], object]) -> float:
    """Give the part of a core, in per cent, that a process uses meanwhile."""
    before, began = processes.cpu_seconds(pid), time.monotonic()
    meanwhile()
    used = processes.cpu_seconds(pid) - before
    return 100.0 * used / (time.monotonic() - began)


def _events(instance: Path) -> int:
    """Count what was announced since the instance was made, read or not."""
    total = 0
    for stats in instance.glob("per_cpu/cpu*/stats"):
        for line in stats.read_text().splitlines():
            name, _, value = line.partition(": ")
            if name in {"entries", "read events", "overrun"}:
                total += int(value)
    return total

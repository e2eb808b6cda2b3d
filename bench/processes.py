"""What a process uses, and whether it has anything to do."""

from __future__ import annotations

import re
import time
from pathlib import Path


def cpu_ticks(pid: int) -> int:
    """CPU time that a process has used in user and kernel mode, in clock ticks. Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used with all its threads, to the nanosecond: ticks are 10 ms, more than it may use in a second.

    Raises OSError when it is gone.
    """
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def rests(pid: int, for_seconds: float = 0.16, within: float = 60.0) -> None:
    """Wait until a process and its children have had nothing to do for a while. Raises RuntimeError when they never rest."""
    deadline = time.monotonic() + within
    quiet_since, ticks = time.monotonic(), cpu_ticks(pid)
    while time.monotonic() - quiet_since < for_seconds:
        if time.monotonic() > deadline:
            raise RuntimeError(f"process {pid} does not come to rest")
        time.sleep(0.01)
        now = cpu_ticks(pid)
        if now != ticks or Path(f"/proc/{pid}/task/{pid}/children").read_text().strip():
            quiet_since, ticks = time.monotonic(), now


def memory(pid: int) -> tuple[float, float]:
    """Resident and proportional memory of a process, as :func:`megabytes`. Raises OSError when it is gone."""
    return megabytes(Path(f"/proc/{pid}/smaps_rollup").read_text())


def start_high_water(pid: int) -> None:
    """Measure the peak of a process' resident memory from here on (proc(5), clear_refs). Raises OSError when it is gone."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def high_water(pid: int) -> float:
    """Peak of a process' resident memory in MB of 1,048,576 bytes. Raises OSError when it is gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError("the kernel tells no peak")


def megabytes(rollup: str) -> tuple[float, float]:
    """Read Rss and Pss, in MB of 1,048,576 bytes, out of /proc/PID/smaps_rollup. Raises ValueError without them."""
    sizes = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", rollup, re.MULTILINE))
    if len(sizes) != 2:
        raise ValueError("smaps_rollup has no Rss and Pss")
    return int(sizes["Rss"]) / 1024, int(sizes["Pss"]) / 1024

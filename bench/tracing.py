"""A trace instance that vanishes with whoever asked for it, also where nobody mounted tracefs.

It is made by ``systemd/trace-setup``, as the service makes its own, in a mount namespace of a helper process. Others reach it
through that process's root.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).resolve().parents[1] / "systemd/trace-setup"
TRACING = "sys/kernel/tracing"

# Busy as long as somebody reads it: whoever did so is about to end.
_KEEP = """\
mount -t tracefs tracefs /sys/kernel/tracing && "$0" setup "$1" && echo ready && cat >/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do "$0" remove "$1" 2>/dev/null && exit; sleep 0.2; done
"""


@contextmanager
def trace_instance(name: str) -> Iterator[Path]:
    """Make an instance, with this process's number in its name, and give the path to it.

    Raises RuntimeError where the kernel lets nobody trace.
    """
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _KEEP]
    instance = f"{name}-{os.getpid()}"
    with subprocess.Popen(
        [*command, str(SCRIPT), instance], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None
        try:
            if helper.stdout.readline() != "ready\n":
                raise RuntimeError("no trace instance can be made here")
            yield Path("/proc", str(helper.pid), "root", TRACING, "instances", instance)
        finally:
            helper.stdin.close()

"""Processes that the hosts are made of: each ends with the tests, however those end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[3]
HOSTS = ROOT / "build" / "hosts"
_MEMORY = Path("/dev/shm")
_ENOUGH = 2_000_000_000
"""Bytes that a run of the tests may write at most: what an installation brings, and a few hosts at once."""

RUNS = (
    _MEMORY / "portguard-hosts"
    if _MEMORY.is_mount() and shutil.disk_usage(_MEMORY).free > _ENOUGH
    else HOSTS / "run"
)
"""One folder per run of the tests, named by its process: a folder whose process is gone is rubbish. In memory where that is
large enough, because what dpkg and journald write through to a disk would take longer than everything else."""

WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""The kernel ends the command when the thread that started it does; so hosts are started from the main thread only."""


class HarnessError(Exception):
    """A host could not be made, or does not do as it was told. The message says what and why."""


def own_folder() -> Path:
    """Folder of this run of the tests; made when it is first asked for."""
    folder = RUNS / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def command(
    *words: str, stdin: str | None = None, timeout: float = 60.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises HarnessError when it fails and ``check`` is set."""
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, errors="replace", check=False, timeout=timeout
        )
    except FileNotFoundError:
        raise HarnessError(f"the hosts need the command {words[0]!r}") from None
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{' '.join(words)}: not done after {timeout:g} s") from None
    if check and done.returncode != 0:
        raise HarnessError(
            f"{' '.join(words)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )
    return done


def start(
    words: Sequence[str], *, log: Path | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that ends with the tests, in a session of its own: Ctrl-C reaches the tests alone.

    Raises HarnessError when it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("ab")) if log is not None else subprocess.DEVNULL
        try:
            return subprocess.Popen(
                [*WITH_US, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise HarnessError("the hosts need the command 'setpriv' (Debian: util-linux)") from None

"""The lab's processes, seen from the lab: started inside a namespace, spoken to in JSON lines, and certain to end.

Each dies with the lab, even when that is killed with -9 (``setpriv --pdeathsig``), and is in a session of its own: a
Ctrl-C at the terminal goes to the lab alone, which then ends them in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from portguard.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SOURCE = str(Path(__file__).resolve().parents[2])
"""Folder of the package, so that a helper under another name finds the same code."""

_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TERM",
    "HOME",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "JAVA_HOME",
)


def environment() -> dict[str, str]:
    """Give a child the little that it needs.

    ``PORTGUARD_*`` would change the configuration under test, and ``NOTIFY_SOCKET`` or ``JOURNAL_STREAM`` of the shell
    around the lab would make the daemon speak to the host's systemd.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = kept.get("PYTHONPATH")
    return kept | {"PYTHONPATH": f"{_SOURCE}{os.pathsep}{path}" if path else _SOURCE}


class Child:
    """One process in a namespace; its lines of standard output and error go to callbacks, each from a thread."""

    def __init__(
        self,
        namespace: str,
        argv: Sequence[str],
        *,
        on_output: Callable[[str], None] | None = None,
        on_error: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = Path(argv[0]).name
        self.last_error = ""
        """The last line on standard error: why it ended, usually."""
        self._on_error = on_error
        command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", namespace, *argv]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a list of words, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment(), **(env or {})},
                cwd=cwd,
                text=True,
                errors="backslashreplace",
                start_new_session=True,
            )
        except FileNotFoundError:
            raise LabError("the lab needs the command 'setpriv' (Debian: util-linux)") from None
        self._input = cast("IO[str]", self._process.stdin)
        self._threads = [
            _reader(self._process.stdout, on_output or (lambda _line: None)),
            _reader(self._process.stderr, self._error),
        ]

    @property
    def pid(self) -> int:
        """Process id; setpriv and ip replace themselves, so it is the program's own."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Write a line to its standard input. Raises LabError when it has ended."""
        try:
            self._input.write(f"{line}\n")
            self._input.flush()
        except (OSError, ValueError):
            raise LabError(self.epitaph()) from None

    def epitaph(self) -> str:
        """Say how it ended."""
        code = self._process.poll()
        why = f": {self.last_error}" if self.last_error else ""
        return (
            f"{self.name} ended by itself with {code}{why}"
            if code is not None
            else f"{self.name} does not answer{why}"
        )

    def stop(self, patience: float = 3.0) -> None:
        """End it: by the end of its input and SIGTERM, after ``patience`` seconds by SIGKILL."""
        if self.alive:
            self._process.terminate()
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self.stop()

    def _error(self, line: str) -> None:
        self.last_error = line
        if self._on_error is not None:
            self._on_error(line)


def _reader(pipe: Any, take: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        with pipe:
            for line in pipe:
                take(line.rstrip("\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


class Helper:
    """A helper process of the lab that answers requests, e.g. a client's prober."""

    def __init__(self, namespace: str, module: str, *, program: str = sys.executable) -> None:
        self._replies: queue.Queue[dict[str, Any]] = queue.Queue()
        self._number = 0
        self._child = Child(namespace, [program, "-s", "-m", module], on_output=self._take)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def ask(self, op: str, *, patience: float = 10.0, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its reply. Raises LabError when none comes within ``patience`` seconds."""
        return self.reply(self.post(op, **request), patience=patience)

    def post(self, op: str, **request: Any) -> int:
        """Send a request; returns its number, for :meth:`reply`. Raises LabError when the process has ended."""
        self._number += 1
        self._child.send(json.dumps({"id": self._number, "op": op, **request}))
        return self._number

    def reply(self, number: int, *, patience: float = 10.0) -> dict[str, Any]:
        """Wait for the reply to a request. Raises LabError when none comes within ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                reply = self._replies.get(timeout=0.1)
            except queue.Empty:
                if not self._child.alive:
                    break
                continue
            if reply.get("id") == number:
                return reply
        raise LabError(self._child.epitaph())

    def stop(self) -> None:
        """End the process."""
        self._child.stop()

    def _take(self, line: str) -> None:
        self._replies.put(json.loads(line))

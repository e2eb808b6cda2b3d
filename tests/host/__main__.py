"""``make test-hosts``: the tests of both releases side by side, each in a process of its own.

Most of their time is waiting for something to happen, so two cores do both in little more than the time of one. What passes is
printed as it passes, everything else when its release is done.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading

from host.harness.held import ROOT, WITH_US

_PROGRESS = re.compile(r"\S+::\S.* (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")


def main(arguments: list[str]) -> int:
    """Run pytest once for Debian 12, and once for Debian 13 and what is about neither; gives the first exit code that is not 0."""
    command = [*WITH_US, sys.executable, "-m", "pytest", "-v", "tests/host", "-m", "host", *arguments]
    runs = [
        subprocess.Popen(
            [*command, "-k", release], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        for release in ("debian12", "not debian12")
    ]
    said: list[list[str]] = [[] for _ in runs]
    readers = [
        threading.Thread(target=_read, args=(run, lines)) for run, lines in zip(runs, said, strict=True)
    ]
    for reader in readers:
        reader.start()
    codes = [_wait(run) for run in runs]
    for reader, lines in zip(readers, said, strict=True):
        reader.join()
        sys.stdout.writelines(lines)
    return next((code for code in codes if code), 0)


def _read(run: subprocess.Popen[str], kept: list[str]) -> None:
    assert run.stdout is not None
    with run.stdout:
        for line in run.stdout:
            if _PROGRESS.match(line):
                sys.stdout.write(line)
                sys.stdout.flush()
            else:
                kept.append(line)


def _wait(run: subprocess.Popen[str]) -> int:
    """Wait for the end; a Ctrl-C at the terminal reaches pytest as well, which takes its hosts away and ends."""
    while True:
        try:
            return run.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

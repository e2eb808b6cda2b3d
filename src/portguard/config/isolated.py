"""Validate a configuration in a short-lived child, so that the daemon never holds pydantic.

pydantic and pydantic-settings cost 20 MB of memory for as long as they are loaded; the child costs a quarter of a
second once.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from portguard.config import wire
from portguard.errors import PortguardError

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.model.config import Config

PATIENCE = 30.0
"""Seconds after which a child that says nothing is given up: a file on a dead network share, a named pipe."""


def load_isolated(path: Path) -> Config:
    """Read and validate a configuration, with the shipped catalogue and the administrator's own.

    Raises ConfigError with every fault, and PortguardError when the child cannot be run or dies.
    """
    flags = ["-I"] if sys.flags.isolated else ["-P"]
    # -P: a file of the current directory must not stand in for a module.
    command = [sys.executable, *flags, "-m", "portguard.config", "--json", "--", str(path)]
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
            command,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise PortguardError(f"{path}: could not be read within {PATIENCE:g} s") from None
    except OSError as error:
        raise PortguardError(f"{path}: cannot start {sys.executable} to read it: {error.strerror}") from None
    try:
        return wire.parse(child.stdout)
    except (ValueError, KeyError, TypeError):
        last = child.stderr.strip().rpartition("\n")[2]
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
        said = f": {last}" if last else ""
        raise PortguardError(f"{path}: the process that reads it ended with {how}{said}") from None

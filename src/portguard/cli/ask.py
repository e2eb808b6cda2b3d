"""Ask the running daemon for something, by its control socket."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from portguard.cli.paths import configured
from portguard.daemon import control
from portguard.errors import ObserveError
from portguard.model.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0
"""Seconds. A reload reads the configuration in a child, which has half of that."""


class NobodyListensError(ObserveError):
    """There is no daemon."""


def ask(config: Path, command: str, **words: Any) -> dict[str, Any]:
    """Send one command and give the answer. Raises ObserveError when there is no daemon that answers."""
    path = configured(config, "status", Paths().status).with_name(control.NAME)
    request = json.dumps({"command": command, **words}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, control.address(path) as place:
            sock.settimeout(PATIENCE)
            sock.connect(place)
            sock.sendall(request)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NobodyListensError(f"no daemon listens at {path} (systemctl status portguard)") from None
    except PermissionError:
        raise ObserveError(f"{path} may not be used by this user: become root") from None
    except TimeoutError:
        raise ObserveError(f"the daemon did not answer within {PATIENCE:g} s") from None
    except OSError as error:
        raise ObserveError(f"{path}: {error.strerror or error}") from None
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "ok" not in found:
        raise ObserveError("the daemon ended before it answered (systemctl status portguard)")
    return found

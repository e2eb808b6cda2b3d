"""What the control socket is asked for: who may ask, and what comes of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portguard.daemon.control import Peer, Request

_ROOT = 0


class Errands:
    """Carries out requests. Every answer has ``ok``; one that is refused has ``error`` and the exit code of the command."""

    def __init__(self, *, reload: Callable[[], tuple[str, ...]]) -> None:
        """``reload`` reads the configuration again and gives its faults."""
        self._reload = reload

    def answer(self, request: Request) -> Mapping[str, Any]:
        """Do what is asked, if the asker may."""
        match request.words.get("command"):
            case "reload":
                # systemd runs ExecReload= as the user of the service.
                return self._reloaded() if _may(request.peer, _ROOT, os.geteuid()) else _forbidden()
            case name:
                return _refused(f"the daemon knows no command {str(name)[:40]!r}", ExitCode.USAGE)

    def _reloaded(self) -> Mapping[str, Any]:
        faults = self._reload()
        if faults:
            return {
                **_refused("the configuration is rejected, the old one stays", ExitCode.CONFIG),
                "faults": list(faults),
            }
        return {"ok": True}


def _may(peer: Peer, *users: int) -> bool:
    return peer.uid in users


def _forbidden() -> dict[str, Any]:
    return _refused("only root may do that", ExitCode.UNKNOWN)


def _refused(error: str, code: ExitCode) -> dict[str, Any]:
    return {"ok": False, "error": error, "exit": int(code)}

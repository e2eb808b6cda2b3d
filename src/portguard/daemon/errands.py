"""What the control socket is asked for: who may ask, and what comes of it."""

from __future__ import annotations

import math
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from portguard.core.exchange import Confirmed, Ordered, Paused, Resumed, RolledBack
from portguard.model.finding import ExitCode
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.policy import Mode
from portguard.model.snapshot import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portguard.core.exchange import Moment, Reply, Request
    from portguard.daemon import control
    from portguard.daemon.observer import Observer

_ROOT = 0
LONGEST_PAUSE = 86400.0
LONGEST_CONFIRMATION = 3600.0
"""Seconds; whoever cannot confirm within an hour is locked out for an hour."""
_WORDS = 200
"""Characters of a reason."""
_CONNECTIONS = 64


class Errands:
    """Carries out requests. Every answer has ``ok``; one that is refused has ``error`` and the exit code of the command."""

    def __init__(
        self,
        *,
        reload: Callable[[], tuple[str, ...]],
        take: Callable[[Request], Reply],
        moment: Callable[[], Moment],
        observer: Observer,
    ) -> None:
        """``reload`` reads the configuration again and gives its faults; ``take`` hands a request to the core."""
        self._reload = reload
        self._take = take
        self._moment = moment
        self._observer = observer

    def answer(self, request: control.Request) -> Mapping[str, Any]:
        """Do what is asked, if the asker may."""
        command = request.words.get("command")
        if command == "reload":
            # systemd runs ExecReload= as the user of the service.
            return self._reloaded() if request.peer.uid in (_ROOT, os.geteuid()) else _forbidden()
        if request.peer.uid != _ROOT:
            return _forbidden()
        try:
            asked = self._asked(command, request.words)
        except (KeyError, TypeError, ValueError) as error:
            return _refused(f"the request is not understood: {error}"[:_WORDS], ExitCode.USAGE)
        if asked is None:
            return _refused(f"the daemon knows no command {str(command)[:40]!r}", ExitCode.USAGE)
        reply = self._take(asked)
        if reply.ok:
            return {"ok": True, "text": reply.text, "details": list(reply.details)}
        return {**_refused(reply.text, ExitCode.UNKNOWN), "details": list(reply.details)}

    def _reloaded(self) -> Mapping[str, Any]:
        faults = self._reload()
        if faults:
            return {
                **_refused("the configuration is rejected, the old one stays", ExitCode.CONFIG),
                "faults": list(faults),
            }
        return {"ok": True}

    def _asked(self, command: object, words: Mapping[str, Any]) -> Request | None:
        """Read a request. Raises KeyError, TypeError or ValueError for what is none."""
        at = self._moment()
        match command:
            case "mode":
                snapshot = self._observer.snapshot()
                return Ordered(
                    at=at,
                    mode=Mode(words["mode"]),
                    confirm_within=_seconds(words["confirm_within"], LONGEST_CONFIRMATION),
                    snapshot=snapshot,
                    sensitive=self._observer.sensitive(),
                    own=_connections(words.get("own", [])),
                    others=_connections(words.get("others", [])),
                )
            case "confirm":
                return Confirmed(at=at)
            case "rollback":
                return RolledBack(at=at)
            case "pause":
                seconds = _seconds(words["seconds"], LONGEST_PAUSE)
                return Paused(at=at, seconds=seconds, reason=_text(words["reason"]))
            case "resume":
                return Resumed(at=at)
            case _:
                return None


def _seconds(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("a duration is a number of seconds")
    if not 1 <= value <= most:
        raise ValueError(f"{value:g} s does not lie between 1 s and {most:g} s")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a reason must be given")
    return " ".join(value.split())[:_WORDS]


def _connections(rows: Any) -> tuple[Connection, ...]:
    return tuple(
        Connection(
            peer=ip_address(row["peer"]),
            peer_port=int(row["peer_port"]),
            local=ip_address(row["local"]),
            local_port=int(row["local_port"]),
            transport=Transport.TCP,
            state="established",
            owner=Owner(),
        )
        for row in rows[:_CONNECTIONS]
    )


def _forbidden() -> dict[str, Any]:
    return _refused("only root may do that", ExitCode.UNKNOWN)


def _refused(error: str, code: ExitCode) -> dict[str, Any]:
    return {"ok": False, "error": error, "exit": int(code)}

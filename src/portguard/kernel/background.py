"""What can wait until a heal is done: the processes behind a process, who logged in and from where, the package, the audit log.

A process that is gone is described by what was known of it while it was there, and by the audit log. Numbers are given again: a
process counts as a parent only if it began before its child.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from portguard.kernel import administrator
from portguard.kernel.attribution import clean, sees_all_pids
from portguard.kernel.audit import AuditLog
from portguard.kernel.packages import Packages
from portguard.kernel.process import PROC, Process, Stat, since_boot
from portguard.kernel.sessions import PASSWD, SESSIONS, login_name, read_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.ruleset import Actor

_GENERATIONS = 8
_SSHD = frozenset({"sshd", "sshd-session", "sshd-auth"})
_KEPT = 64


class Login(NamedTuple):
    """A login user's name, and where they came from."""

    name: str | None
    remote: str | None


class Background:
    """Completes what is known of processes; keeps its answers for a while."""

    def __init__(
        self,
        *,
        packages: Packages | None = None,
        audit: AuditLog | None = None,
        sessions: str = SESSIONS,
        passwd: str = PASSWD,
    ) -> None:
        """Ask these; without, those of this host."""
        self._packages = packages or Packages()
        self._audit = audit or AuditLog()
        self._sessions = sessions
        self._passwd = passwd
        self._known: OrderedDict[tuple[object, ...], Actor] = OrderedDict()

    def complete(self, actor: Actor) -> Actor:
        """Add what was not read at the moment of the change. Never changes what was."""
        if actor.heard is None:
            return actor
        key = (actor.pid, actor.comm, actor.generation, actor.started)
        if key in self._known:
            return self._known[key]
        gone = actor.started is None
        found = self._from_audit(actor) if gone else actor
        chain = _chain(found.parent_pid, actor.started if not gone else actor.heard)
        parents = tuple(clean(stat.comm) for _, stat in chain) or ((found.parent,) if found.parent else ())
        login = self.login(found.loginuid, found.session, found.parent_pid, chain)
        found = replace(
            found,
            parent=found.parent or (parents[0] if parents else None),
            parents=parents,
            login=login.name,
            remote=login.remote,
            package=self._packages.of(found.exe) if found.exe and found.exe_here else None,
        )
        # The audit daemon may be a moment late: without it, the next question looks again.
        if not gone or found.audited:
            self._known[key] = found
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    def package(self, exe: str) -> str | None:
        """Name the package of an executable of this host."""
        return self._packages.of(exe)

    def login(
        self,
        loginuid: int | None,
        session: str | None,
        pid: int | None = None,
        chain: tuple[tuple[int, Stat], ...] = (),
    ) -> Login:
        """Name the login user and where they came from: as logind has it, else as sshd left it in the environment."""
        if loginuid is None and session is None:
            return Login(None, None)
        logind = read_session(session, self._sessions) if session else None
        name = logind.user if logind is not None else None
        if name is None and loginuid is not None:
            name = login_name(loginuid, self._passwd)
        remote = logind.remote if logind is not None else None
        if remote is None and pid is not None:
            remote = _ssh_client(chain)
        return Login(name, remote)

    def _from_audit(self, actor: Actor) -> Actor:
        """Fill in what the audit log holds of a process that was gone when its change was heard of."""
        # In another pid namespace the parent's number would be somebody else's, as the process's own is.
        if actor.pid is None or actor.comm is None or actor.generation is None or actor.heard is None:
            return actor
        when = time.time() - (since_boot() - actor.heard)
        said = self._audit.find(generation=actor.generation, thread=actor.pid, comm=actor.comm, when=when)
        if said is None:
            return actor
        return replace(
            actor,
            pid=said.pid or actor.pid,
            loginuid=said.loginuid,
            session=said.session,
            exe=said.exe and clean(said.exe),
            parent_pid=said.parent if sees_all_pids() else None,
            audited=True,
        )


@cache
def of_this_host() -> Background:
    """Give the one that all parts of this process share, with what it keeps."""
    return Background()


def ancestors(pid: int, started: float) -> Iterator[tuple[int, Stat]]:
    """Walk from a process to its parents, as long as each began before the one below it; the first process ends it."""
    for _ in range(_GENERATIONS):
        try:
            with Process(pid) as process:
                stat = process.stat()
        except OSError:
            return
        if stat is None or stat.started > started:
            return
        yield pid, stat
        if stat.parent <= 0:
            return
        pid, started = stat.parent, stat.started


def _chain(pid: int | None, started: float | None) -> tuple[tuple[int, Stat], ...]:
    return tuple(ancestors(pid, started)) if pid and started is not None else ()


def _ssh_client(chain: tuple[tuple[int, Stat], ...]) -> str | None:
    """Where an SSH session came from, as sshd told the process below it; its user could have changed that."""
    for (pid, _), (above, stat) in pairwise(chain):
        if stat.comm in _SSHD and _is_sshd(above):
            found = administrator.parse(administrator.variable(Path(PROC, str(pid))))
            return str(found.client) if found is not None else None
    return None


def _is_sshd(pid: int) -> bool:
    """Whether a process of that name is the program, run by root or the user it serves."""
    try:
        with Process(pid) as process:
            return os.path.basename(process.program() or "") in _SSHD  # noqa: PTH119 - of a text
    except OSError:
        return False

"""What the sockets of a JVM are for: JMX agents, their RMI servers, the local connector, debuggers.

Three witnesses, the better first: the counters that the JVM shares with its tools (hsperfdata), the options it was started
with, and the names of its threads. A JVM names a thread ``RMI TCP Accept-…`` for each port on which it serves RMI, and
``JDWP Transport …`` for a debugger: so a JVM without either has no such port, whatever else it listens on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.exposure.jvm_options import JvmOptions, options_of
from portguard.exposure.perfdata import PerfData, RemoteAgent, parse
from portguard.model.exposure import Application, Exposure, Protection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portguard.exposure.process import Process, Threads
    from portguard.model.listener import Listener

EPHEMERAL = range(32768, 61000)
"""The kernel's default range of ports that it gives to those who name none (ip_local_port_range)."""
_MANY_THREADS = 1024
_RMI_THREAD = "RMI TCP Accept-"
_DEBUG_THREAD = "JDWP Transport "
MARKS = ("VM Thread", "GC Thread#", "VM Periodic Tas", "Reference Handl", "Signal Dispatch")
"""Threads that every HotSpot JVM since version 9 has."""
_HSPERFDATA = "hsperfdata"
_THREADS = "thread names"


def judge_jvm(process: Process, listeners: Sequence[Listener]) -> Mapping[int, Exposure]:
    """Say what the TCP sockets of one JVM are, by cookie; what is a server of the application's own is left out."""
    data, has_data = process.perfdata()
    counters = parse(data) if data is not None else None
    options = options_of(process, counters.arguments if counters is not None else "")
    threads = process.threads(_MANY_THREADS)
    return classify(listeners, counters, options, threads, hidden=has_data and counters is None)


def classify(
    listeners: Iterable[Listener],
    counters: PerfData | None,
    options: JvmOptions,
    threads: Threads | None,
    *,
    hidden: bool,
) -> Mapping[int, Exposure]:
    """Do that from what the witnesses say. ``hidden``: there are counters, and they could not be read."""
    out: dict[int, Exposure] = {}
    rest: list[Listener] = []
    for row in listeners:
        known = _known(row, counters, options)
        if known is None:
            rest.append(row)
        else:
            out[row.cookie] = known
    servers = {
        row.port
        for row in listeners
        if row.cookie in out and out[row.cookie].application is not Application.JDWP
    }
    unnamed = _unnamed(threads, _RMI_THREAD, len(servers))
    candidates = {row.port for row in rest}
    agents = counters.agents if counters is not None else ()
    if _rmi_missing(options, agents, out) and unnamed != 0 and candidates:
        # The agent's own server took a port that nobody gave: from the kernel, or named at run time.
        picked = {port for port in candidates if port in EPHEMERAL}
        sure = (
            candidates if len(candidates) == unnamed else picked if unnamed in (None, len(picked)) else set()
        )
        protection = _agent_protection(agents) if agents else _options_protection(options)
        where = (_HSPERFDATA,) if agents else tuple(options.places)
        for row in rest:
            if row.port in sure:
                out[row.cookie] = Exposure(
                    application=Application.JMX_RMI, protection=protection, evidence=where
                )
        if sure:
            unnamed = 0
    rest = [row for row in rest if row.cookie not in out]
    debugger = _debugger_missing(options, threads, out)
    if debugger and len({row.port for row in rest}) == 1:
        guarded = bool(options.debuggers) and all(one.restricted for one in options.debuggers)
        kind = Protection.REFUSES_STRANGERS if guarded else Protection.NONE
        found = Exposure(application=Application.JDWP, protection=kind, evidence=(_THREADS, *options.places))
        return {**out, **{row.cookie: found for row in rest}}
    unread = threads is None or not threads.complete or not any(map(threads.count, MARKS))
    if unnamed or debugger or (unread and (counters is None or hidden)):
        why = (_why(counters, unnamed, debugger=debugger),)
        out.update((row.cookie, Exposure(application=Application.JVM, evidence=why)) for row in rest)
    return out


def _debugger_missing(options: JvmOptions, threads: Threads | None, found: Mapping[int, Exposure]) -> bool:
    """Say whether there is a debugger whose port is not among what was found."""
    if any(exposure.application is Application.JDWP for exposure in found.values()):
        return False
    return options.debugger_anywhere if threads is None else threads.count(_DEBUG_THREAD) > 0


def _known(row: Listener, counters: PerfData | None, options: JvmOptions) -> Exposure | None:
    """Name a socket whose port somebody gives."""
    for debugger in options.debuggers:
        if debugger.port == row.port:
            restricted = Protection.REFUSES_STRANGERS if debugger.restricted else Protection.NONE
            return Exposure(
                application=Application.JDWP, protection=restricted, evidence=tuple(options.places)
            )
    agents = counters.agents if counters is not None else ()
    for agent in agents:
        if agent.port == row.port:
            return Exposure(
                application=Application.JMX, protection=_agent_protection((agent,)), evidence=(_HSPERFDATA,)
            )
    # A connector for this host has a port from the kernel: one that claims another is not believed.
    if counters is not None and counters.local_port == row.port and row.port in EPHEMERAL:
        return Exposure(
            application=Application.JMX_LOCAL,
            protection=Protection.REFUSES_STRANGERS,
            evidence=(_HSPERFDATA,),
        )
    if row.port in options.ports | options.rmi_ports:
        protection = _agent_protection(agents) if agents else _options_protection(options)
        application = Application.JMX if row.port in options.ports else Application.JMX_RMI
        return Exposure(
            application=application,
            protection=protection,
            evidence=(*((_HSPERFDATA,) if agents else ()), *options.places),
        )
    return None


def _rmi_missing(options: JvmOptions, agents: Sequence[RemoteAgent], found: Mapping[int, Exposure]) -> bool:
    """Say whether there is an agent for other hosts whose RMI server is not among what was found."""
    shown = {exposure.application for exposure in found.values()}
    if Application.JMX_RMI in shown:
        return False
    # A server on the registry's own port is one that options name; without them its thread is the registry's.
    return bool(agents) or (Application.JMX in shown and not options.rmi_ports & options.ports)


def _agent_protection(agents: Sequence[RemoteAgent]) -> Protection:
    """The weakest of some agents, by their counters."""
    found = {protection(agent.authenticate, agent.tls, agent.certificate and agent.tls) for agent in agents}
    return min(found, key=lambda one: one.strength)


def _options_protection(options: JvmOptions) -> Protection:
    """By the options; what they leave out is on by default, unless a place could not be read."""
    if not options.complete:
        return Protection.NONE if not (options.authenticate or options.tls) else Protection.UNKNOWN
    return protection(options.authenticate, options.tls, bool(options.certificate) and options.tls)


def protection(password: bool | None, tls: bool | None, certificate: bool | None) -> Protection:
    """Put three answers into one word; None is an answer that nobody gave."""
    if certificate:
        return Protection.CERTIFICATE
    if password is None or tls is None:
        return Protection.UNKNOWN
    if password:
        return Protection.PASSWORD_TLS if tls else Protection.PASSWORD
    return Protection.TLS if tls else Protection.NONE


def _unnamed(threads: Threads | None, name: str, known: int) -> int | None:
    """How many ports have a thread of this name and are not accounted for; None where the threads do not tell."""
    if threads is None or not any(map(threads.count, MARKS)):
        return None
    count = threads.count(name) - known
    if count <= 0 and not threads.complete:
        return None
    return max(0, count)


def _why(counters: PerfData | None, unnamed: int | None, *, debugger: bool) -> str:
    if debugger:
        return f"{_THREADS}: a debugger's, and no option gives its port"
    if unnamed:
        return f"{_THREADS}: {unnamed} for RMI, and nothing tells which port"
    return "its threads and its hsperfdata file" if counters is None else "its threads"

"""Servers that must never be exposed, started exposed: a real Redis and a real JVM where they are installed."""

from __future__ import annotations

import base64
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.errors import LabError
from portguard.lab.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.lab.rundir import RunDir

_IDLE_CLASS = base64.b64decode(
    "yv66vgAAADQAGQoAAgADBwAEDAAFAAYBABBqYXZhL2xhbmcvT2JqZWN0AQAGPGluaXQ+AQADKClWBwAIAQAOamF2YS9sYW5nL0xv"
    "bmcFf/////////8KAAwADQcADgwADwAQAQAQamF2YS9sYW5nL1RocmVhZAEABXNsZWVwAQAEKEopVgcAEgEABElkbGUBAARDb2Rl"
    "AQAEbWFpbgEAFihbTGphdmEvbGFuZy9TdHJpbmc7KVYBAApFeGNlcHRpb25zBwAYAQATamF2YS9sYW5nL0V4Y2VwdGlvbgAhABEA"
    "AgAAAAAAAgABAAUABgABABMAAAARAAEAAQAAAAUqtwABsQAAAAAACQAUABUAAgATAAAAEwACAAEAAAAHFAAJuAALsQAAAAAAFgAA"
    "AAQAAQAXAAA="
)
"""``public class Idle { public static void main(String[] a) throws Exception { Thread.sleep(Long.MAX_VALUE); } }``,
compiled with ``javac --release 8 -g:none``: a JVM to look at needs no compiler on the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Something that must not be reachable, how it is started, and how a client knows it."""

    name: str
    question: bytes
    """What a client sends."""
    answer: bytes
    """How the reply begins."""
    command: Callable[[RunDir, int], tuple[list[str], bool]]
    """Command line for a port, and whether it is the real server."""


def _redis(run: RunDir, port: int) -> tuple[list[str], bool]:
    # Debian ships one binary for all of Redis and tells the programs apart by the name they are started with.
    binary = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if binary is None:
        return _stand_in(run, "redis-server", "redis", port), False
    words = (
        f"--port {port} --bind 0.0.0.0 --protected-mode no --daemonize no --appendonly no --dir {run.path}"
    )
    return [run.program("redis-server", binary), *words.split(), "--save", ""], True


def _jmx(run: RunDir, port: int) -> tuple[list[str], bool]:
    agent = "-Dcom.sun.management.jmxremote"
    switches = [
        f"{agent}.port={port}",
        f"{agent}.rmi.port={port}",
        f"{agent}.authenticate=false",
        f"{agent}.ssl=false",
    ]
    binary = shutil.which("java")
    if binary is None:
        return [*_stand_in(run, "java", "jmx", port), *switches], False
    (run.path / "Idle.class").write_bytes(_IDLE_CLASS)
    # Without the host name the JVM asks the resolver for its own, and the lab has no name server.
    tuning = [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xmx32m",
        "-Djava.rmi.server.hostname=127.0.0.1",
    ]
    return [binary, *tuning, *switches, "-cp", str(run.path), "Idle"], True


def _stand_in(run: RunDir, name: str, what: str, port: int) -> list[str]:
    return [run.program(name, sys.executable), "-s", "-m", "portguard.lab.stand_ins", what, str(port)]


REDIS = Application(name="Redis", question=b"PING\r\n", answer=b"+PONG", command=_redis)
JMX = Application(name="JMX", question=b"JRMI\x00\x02K", answer=b"N", command=_jmx)


def start(
    application: Application, run: RunDir, namespace: str, port: int, answers: Callable[[], bytes]
) -> tuple[Child, bool]:
    """Start an application and wait until ``answers`` (a client's question to it) begins as it should.

    Returns the process and whether it is the real server. Raises LabError when it does not come up.
    """
    argv, real = application.command(run, port)
    child = Child(namespace, argv, cwd=run.path)
    deadline = time.monotonic() + 30.0
    while not answers().startswith(application.answer):
        if not child.alive or time.monotonic() > deadline:
            why = child.epitaph()
            child.stop()
            raise LabError(f"{application.name} did not come up on port {port}: {why}")
        time.sleep(0.05)
    return child, real

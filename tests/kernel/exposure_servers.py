"""Real servers for the cases of exposure_cases.py: Debian 12's Redis and JVM, Debian 13's Redis and Valkey."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exposure_cases import FIRST_PORT, PORTS, Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
TRIXIE = ROOT / "build" / "exposure" / "trixie"
"""A Debian 13 with the servers' packages, made once."""
BOOKWORM = ROOT / "build" / "exposure" / "bookworm"
"""A Debian 12 with twenty other services."""

_SERVE = base64.b64decode(
    "yv66vgAAADQAJwoAAgADBwAEDAAFAAYBABBqYXZhL2xhbmcvT2JqZWN0AQAGPGluaXQ+AQADKClWBwAIAQAVamF2YS9uZXQvU2Vy"
    "dmVyU29ja2V0CgAKAAsHAAwMAA0ADgEAEWphdmEvbGFuZy9JbnRlZ2VyAQAIcGFyc2VJbnQBABUoTGphdmEvbGFuZy9TdHJpbmc7"
    "KUkKAAcAEAwABQARAQAEKEkpVgcAEwEADmphdmEvbGFuZy9Mb25nBX//////////CgAXABgHABkMABoAGwEAEGphdmEvbGFuZy9U"
    "aHJlYWQBAAVzbGVlcAEABChKKVYHAB0BAAVTZXJ2ZQEABENvZGUBAARtYWluAQAWKFtMamF2YS9sYW5nL1N0cmluZzspVgEADVN0"
    "YWNrTWFwVGFibGUHACMBABNbTGphdmEvbGFuZy9TdHJpbmc7AQAKRXhjZXB0aW9ucwcAJgEAE2phdmEvbGFuZy9FeGNlcHRpb24A"
    "IQAcAAIAAAAAAAIAAQAFAAYAAQAeAAAAEQABAAEAAAAFKrcAAbEAAAAAAAkAHwAgAAIAHgAAAEoAAwAFAAAAKypMK749Az4dHKIA"
    "GysdMjoEuwAHWRkEuAAJtwAPV4QDAaf/5hQAFLgAFrEAAAABACEAAAANAAL+AAcHACIBAfgAHAAkAAAABAABACUAAA=="
)
"""``public class Serve``: a ``new ServerSocket(port)`` for each argument, then sleep. ``javac --release 8 -g:none``."""

_PATIENCE = 40.0


@dataclass(slots=True, kw_only=True)
class Server:
    """One running case."""

    case: Case
    base: int
    process: subprocess.Popen[bytes]
    log: Path
    words: str
    """Its own options, filled in."""

    def name(self, port: int) -> str:
        """Call a port as the cases do."""
        if self.base <= port < self.base + PORTS:
            return str(port - self.base)
        return "bus" if port == self.base + 10_000 else "random"

    def failed(self) -> str:
        return f"{self.case.name}: {self.log.read_text(errors='replace')[-600:]}"


@contextmanager
def started(
    cases: Sequence[Case], folder: Path, kind: str, *, first: int = FIRST_PORT, root: Path | None = None
) -> Iterator[list[Server]]:
    """Run all cases at once; ``kind`` is ``java``, the name of a Redis server, or empty where a case names its program.

    ``root`` is another system that the server is taken from; the folder must lie in it.
    """
    servers: list[Server] = []
    keys = _keys(folder)
    try:
        for number, case in enumerate(cases):
            servers.append(_start(case, folder / f"case{number}", kind, first + PORTS * number, root, keys))
        for server in servers:
            if server.case.attach:
                ports = [str(server.base + number) for number in range(PORTS)]
                _tell_jvm(server, server.case.attach.format(*ports))
            _wait(server)
        yield servers
    finally:
        for server in servers:
            server.process.kill()
        for server in servers:
            server.process.wait()


def _start(  # noqa: PLR0917 - one case, and where it runs
    case: Case, folder: Path, kind: str, base: int, root: Path | None, keys: list[Path]
) -> Server:
    folder.mkdir()
    inside = f"/{folder.relative_to(root)}" if root is not None else str(folder)
    ports = [str(base + number) for number in range(PORTS)]

    def filled(text: str) -> str:
        return text.format(*ports, folder=inside)

    for key in keys:
        shutil.copy(key, folder)
    for name, content in case.files.items():
        (folder / name).write_text(filled(content))
        (folder / name).chmod(0o600)
    words = [*_program(case, kind, folder, inside, root), *shlex.split(filled(case.options))]
    if kind == "java":
        (folder / "Serve.class").write_bytes(_SERVE)
        words += ["-cp", inside, "Serve", *filled(case.serves).split()]
    log = folder / "log"
    variables = {name: filled(value) for name, value in case.environment.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*(("chroot", str(root)) if root is not None else ()), *words],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables},
        )  # fmt: skip
    return Server(case=case, base=base, process=process, log=log, words=filled(case.options))


def _program(case: Case, kind: str, folder: Path, inside: str, root: Path | None) -> list[str]:
    if kind == "java":
        java = shutil.which("java")
        assert java, "no java: make setup installs one"
        if case.program:
            (folder / case.program).symlink_to(Path(java).resolve())
            java = str(folder / case.program)
        tuning = ("-Xmx32m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
        return [java, *tuning, "-Djava.rmi.server.hostname=127.0.0.1"]
    if not kind:
        return []  # The case names its program itself.
    if root is not None and not case.program:
        return [f"/usr/bin/{kind}"]
    # Debian's redis-tools ships the server as redis-check-rdb; started under another name it is the server.
    binary = next(
        path for name in (kind, kind.replace("server", "check-rdb"))
        if (path := Path(f"{root or ''}/usr/bin/{name}")).exists()
    )  # fmt: skip
    if case.program:
        shutil.copy(binary, folder / case.program)
        return [f"{inside}/{case.program}"]
    (folder / kind).symlink_to(binary)
    return [f"{inside}/{kind}"]


def _keys(folder: Path) -> list[Path]:
    """A key, its certificate, and both as a Java key store."""
    key, certificate, store = (folder / name for name in ("key.pem", "cert.pem", "keys.p12"))
    for command in (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -keyout {key} -out {certificate}",
        f"openssl pkcs12 -export -inkey {key} -in {certificate} -passout pass:changeit -out {store}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    return [key, certificate, store]


def listening(pid: int) -> set[int]:
    """Ports on which a process listens, told by the kernel's table and the process's descriptors."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def _wait(server: Server) -> None:
    """Wait until every port of a case is listened on, or, where none is, until the server is up."""
    case = server.case
    wanted = {port for port in case.expected if port != "random"} | {
        str(index) for index in range(PORTS) if f"{{{index}}}" in case.serves
    }
    if not case.expected and not case.silent:
        wanted |= {"0"}
    randoms = case.expected.get("random", "").count(", ") + ("random" in case.expected)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        assert server.process.poll() is None, server.failed()
        names = [server.name(port) for port in listening(server.process.pid)]
        up = not case.silent or names or (server.log.parent / "s").exists()
        if wanted <= set(names) and names.count("random") >= randoms and up:
            return
        time.sleep(0.02)
    raise AssertionError(f"never came up: {server.failed()}")


def _tell_jvm(server: Server, command: str) -> None:
    """Give a running JVM a command, as jcmd does: ask for its socket by a file and a signal, then write to it."""
    pid = server.process.pid
    until = time.monotonic() + _PATIENCE
    # Before a JVM has its handlers the signal would end it.
    while time.monotonic() < until and "Signal Dispatch" not in _threads(pid):
        time.sleep(0.02)
    path = Path(f"/tmp/.java_pid{pid}")
    mark = server.log.parent / f".attach_pid{pid}"
    mark.touch()
    os.kill(pid, signal.SIGQUIT)
    while time.monotonic() < until and not path.exists():
        time.sleep(0.02)
    mark.unlink(missing_ok=True)
    answer = b""
    while time.monotonic() < until and not answer.startswith(b"0\n"):
        # While it starts it has not got the classes that it needs for an answer.
        time.sleep(0.05)
        with socket.socket(socket.AF_UNIX) as jvm:
            jvm.connect(str(path))
            jvm.sendall(b"\0".join([b"1", b"jcmd", command.encode(), b"", b"", b""]))
            answer = jvm.recv(100)
    assert answer.startswith(b"0\n"), (server.failed(), answer)


def _threads(pid: int) -> set[str]:
    names = set()
    for entry in Path(f"/proc/{pid}/task").iterdir():
        try:
            names.add((entry / "comm").read_text().strip())
        except OSError:
            continue
    return names

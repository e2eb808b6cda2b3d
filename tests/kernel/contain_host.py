"""A guarded host with real clients: a second namespace, from whose addresses connections are tried."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from guarded_host import GuardedHost, eventually
from packets import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

HOST, HOST6 = "10.1.0.1", "2001:db8:1::1"
WORKSTATION, SENTINEL, ADMIN, STRANGER, RESERVED = (
    "10.1.2.3",
    "10.1.0.11",
    "10.9.0.5",
    "10.77.0.9",
    "10.28.32.5",
)
WORKSTATION6, STRANGER6 = "2001:db8:1::50", "2001:db8:77::9"
REDIS = "/usr/bin/redis-check-rdb"
"""Debian's redis-tools ships the server under this name; started as redis-server it is one."""
PATIENCE = 0.25
"""Seconds after which a connection that nobody answers is called dropped. An open port answers in microseconds."""


class ContainHost(GuardedHost):
    """The daemon, real listeners, and clients of every zone."""

    def __init__(self, netns: Netns, folder: Path, stack: ExitStack) -> None:
        super().__init__(netns, folder)
        self._stack = stack
        self.clients = Namespace()
        stack.callback(self.clients.close)
        netns.run(
            "ip", "link", "add", "h0", "type", "veth", "peer", "name", "c0", "netns", str(self.clients.task)
        )
        netns.run("ip", "address", "flush", "dev", "eth0")
        for line in (
            f"address add {HOST}/32 dev h0",
            f"address add {HOST6}/64 dev h0 nodad",
            "link set h0 up",
            "route add 10.0.0.0/8 dev h0",
            "-6 route add 2001:db8::/32 dev h0",
        ):
            netns.run("ip", *line.split())
        for address in (WORKSTATION, SENTINEL, ADMIN, STRANGER, RESERVED):
            self.clients.command(["ip", "address", "add", f"{address}/8", "dev", "c0"])
        for address in (WORKSTATION6, STRANGER6):
            self.clients.command(["ip", "address", "add", f"{address}/32", "dev", "c0", "nodad"])
        self.clients.command(["ip", "link", "set", "c0", "up"])

    def listen(self, *ports: int, transport: int = socket.SOCK_STREAM) -> None:
        """Serve ports on both IP versions until the end of the test."""
        for port in ports:
            sock = self._stack.enter_context(socket.socket(socket.AF_INET6, transport))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("::", port))
            if transport == socket.SOCK_STREAM:
                sock.listen(64)

    def redis(self, port: int) -> subprocess.Popen[bytes]:
        """Start a Redis without a password on every address."""
        assert shutil.which(REDIS), "redis-tools is not installed: make setup installs it"
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "*",
            "-::*",
            "--protected-mode",
            "no",
            "--save",
            "",
        ]
        process = subprocess.Popen(
            command, executable=REDIS, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(_end, process)
        eventually(lambda: self.reaches(WORKSTATION, port) == "open", f"Redis on {port}")
        return process

    def reaches(self, source: str, port: int, to: str | None = None, patience: float = PATIENCE) -> str:
        """Try a TCP connection from an address: ``open``, ``refused`` or ``dropped``."""
        return self.clients.run(_try, source, to or (HOST6 if ":" in source else HOST), port, patience)

    def hold(self, source: str, port: int) -> socket.socket:
        """Open a connection, and keep it."""
        sock = self.clients.run(_open, source, HOST6 if ":" in source else HOST, port, 5.0)
        return self._stack.enter_context(sock)

    # --- orders ------------------------------------------------------------------------------------------------

    def order(self, *words: str, **environ: str) -> tuple[int, str]:
        """Run a command that gives an order; its exit code and all that it printed."""
        environ.setdefault("SSH_CONNECTION", "")
        done = self.command(words[0], "--config", str(self.config), *words[1:], **environ)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def contain(self, seconds: int = 60, **environ: str) -> str:
        """Enter the mode, and give what was printed."""
        code, said = self.order("mode", "contain", "--confirm-within", str(seconds), **environ)
        assert code == 0, said + self.log()
        return said

    def confirmed(self) -> None:
        """Enter the mode for good."""
        self.contain()
        code, said = self.order("confirm")
        assert code == 0, said

    def armed(self) -> list[Any]:
        """Elements of the dead man's set; none where there is no such set."""
        done = subprocess.run(
            ["nft", "-j", "list", "set", "inet", "portguard", "armed"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return []
        return next(
            (row["set"].get("elem", []) for row in json.loads(done.stdout)["nftables"] if "set" in row), []
        )

    def closing_rules(self) -> list[str]:
        """Rules that drop, as nft prints them."""
        return [rule for rule in self.own_rules() if " drop " in rule]


@contextmanager
def contain_host(netns: Netns, folder: Path) -> Iterator[ContainHost]:
    """Make a host with clients, and end everything whatever happens."""
    with ExitStack() as stack:
        host = ContainHost(netns, folder, stack)
        try:
            yield host
        finally:
            if host.process is not None and host.process.poll() is None:
                host.process.send_signal(signal.SIGCONT)
                host.process.kill()
                host.process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _open(source: str, to: str, port: int, patience: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    sock.bind((source, 0))
    sock.settimeout(patience)
    try:
        sock.connect((to, port))
    except OSError:
        sock.close()
        raise
    return sock


def _try(source: str, to: str, port: int, patience: float) -> str:
    try:
        _open(source, to, port, patience).close()
    except TimeoutError:
        return "dropped"
    except ConnectionRefusedError:
        return "refused"
    return "open"

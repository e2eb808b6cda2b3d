"""The network between hosts and clients: namespaces, a bridge, and a client in every zone."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from host.harness.held import ROOT, WITH_US, HarnessError, command, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

CLIENTS = "servers"
"""The network of the product's other servers: known to portguard by their addresses, and no zone."""

NETWORKS = {"workstations": 1, "printers": 2, CLIENTS: 3, "admins": 9, "strangers": 66}
"""Networks of the site, and the part of their addresses that tells them apart. Nobody told portguard of strangers."""

SERVER = 1
"""Last part of a server's address; a second one on the bridge takes the next."""

CLIENT = 7
"""Last part of the client's addresses."""

SWITCH = itertools.count()


def address(zone: str, last: int, version: int = 4) -> str:
    """Spell an address in a zone, e.g. 10.1.0.7 or 2001:db8:1::7."""
    part = NETWORKS[zone]
    return f"10.{part}.0.{last}" if version == 4 else f"2001:db8:{part}::{last}"


def network(zone: str, version: int = 4) -> str:
    """Spell the network of a zone, e.g. 10.1.0.0/16 or 2001:db8:1::/48."""
    part = NETWORKS[zone]
    return f"10.{part}.0.0/16" if version == 4 else f"2001:db8:{part}::/48"


class Namespace:
    """A network namespace, held by a sleeping process. It is gone when that and all that run in it are."""

    def __init__(self) -> None:
        self._holder = start(["unshare", "--net", "sleep", "infinity"])
        self.path = f"/proc/{self._holder.pid}/ns/net"
        self._wait()
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """Process that holds it."""
        return self._holder.pid

    def _wait(self) -> None:
        """Wait until unshare has done its work and become sleep."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if self._holder.poll() is not None:
                raise HarnessError("no network namespace can be made here; the hosts need root")
            with open(f"/proc/{self._holder.pid}/comm", encoding="utf-8") as comm:  # noqa: PTH123 - one line of /proc
                if comm.read().strip() == "sleep":
                    return
            time.sleep(0.001)
        raise HarnessError("unshare does not come up")

    def words(self, *words: str) -> list[str]:
        """Words of a command that runs another in this namespace."""
        return ["nsenter", f"--net={self.path}", *words]

    def run(self, *words: str, check: bool = True, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command of the machine's in this namespace. Raises HarnessError when it fails."""
        return command(*self.words(*words), check=check, timeout=timeout)

    def sysctl(self, name: str, value: str) -> None:
        """Set a value of the network's, e.g. ``net.ipv6.conf.all.disable_ipv6``."""
        path = "/proc/sys/" + name.replace(".", "/")
        self.run("sh", "-c", 'printf %s "$1" > "$2"', "sh", value, path)

    def close(self) -> None:
        """Let it go."""
        if self._holder.poll() is None:
            self._holder.kill()
        self._holder.wait()


class Bridge:
    """A switch in a namespace of its own."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.namespace.run("ip", "link", "add", "br0", "type", "bridge")
        self.namespace.run("ip", "link", "set", "br0", "up")

    def plug(self, namespace: Namespace, addresses: Iterable[str]) -> None:
        """Give a namespace an eth0 with these addresses, and a way to every zone."""
        v4 = [name for name in addresses if ":" not in name]
        v6 = [name for name in addresses if ":" in name]
        port = f"p{next(SWITCH)}"
        # A card keeps its number over a reboot: with a new one, its neighbours would send into the void for half a minute.
        card = "02:00:" + ":".join(f"{int(part):02x}" for part in v4[0].split("."))
        self.namespace.run(
            "sh", "-ec",
            f"ip link add {port} type veth peer name eth0 address {card} netns {namespace.pid};"
            f" ip link set {port} master br0 up",
        )  # fmt: skip
        lines = [
            "link set eth0 up",
            *(f"address add {name}/32 dev eth0" for name in v4),
            *(f"route add {network(zone)} dev eth0" for zone in NETWORKS),
        ]
        if self.has_ipv6(namespace):
            lines += [f"address add {name}/128 dev eth0 nodad" for name in v6]
            lines += [f"route add {network(zone, 6)} dev eth0" for zone in NETWORKS]
        done = subprocess.run(
            namespace.words("ip", "-batch", "-"),
            input="\n".join(lines), text=True, capture_output=True, check=False, timeout=30,
        )  # fmt: skip
        if done.returncode != 0:
            raise HarnessError(f"eth0: {done.stderr.strip()}")

    @staticmethod
    def has_ipv6(namespace: Namespace) -> bool:
        """Whether the namespace's interfaces may have addresses of IPv6."""
        path = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
        return namespace.run("cat", path, check=False).stdout.strip() == "0"

    def close(self) -> None:
        """Take it away, and with it every plug."""
        self.namespace.close()


class Client:
    """A machine with an address in every zone, from which connections are made and measured."""

    def __init__(self, bridge: Bridge) -> None:
        self.namespace = Namespace()
        bridge.plug(
            self.namespace, [address(zone, CLIENT, version) for zone in NETWORKS for version in (4, 6)]
        )
        self._numbers = itertools.count(1)
        self._prober = subprocess.Popen(
            [*WITH_US, *self.namespace.words(sys.executable, "-m", "portguard.lab.prober")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def target(
        self, port: int, zone: str = "workstations", *, transport: str = "tcp", version: int = 4
    ) -> dict[str, Any]:
        """Describe a connection from a zone to the server."""
        return {
            "transport": transport,
            "from": address(zone, CLIENT, version),
            "to": address("workstations", SERVER, version),
            "port": port,
        }

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        """Send the prober a request and give its reply. Raises HarnessError when it has ended."""
        assert self._prober.stdin is not None
        assert self._prober.stdout is not None
        self._prober.stdin.write(json.dumps({"id": next(self._numbers), "op": op, **request}) + "\n")
        self._prober.stdin.flush()
        line = self._prober.stdout.readline()
        if not line:
            raise HarnessError("the client's prober has ended")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def reach(
        self, port: int, zone: str = "workstations", *, transport: str = "tcp", version: int = 4
    ) -> str:
        """Try one connection: ``open``, ``refused`` or ``dropped``."""
        return self.probe([self.target(port, zone, transport=transport, version=version)])[0]

    def probe(self, targets: Sequence[dict[str, Any]], timeout: float = 1.0) -> list[str]:
        """Try many connections at once; gives their outcomes in order."""
        reply = self.ask("probe", targets=list(targets), timeout=timeout)
        return [str(row["outcome"]) for row in reply["results"]]

    def talk(self, port: int, send: bytes, zone: str = "workstations") -> bytes:
        """Connect, say something, and give the first bytes that come back."""
        reply = self.ask("talk", **self.target(port, zone), send=send.hex(), timeout=2.0)
        return bytes.fromhex(reply["reply"])

    def watch(self, port: int, zone: str = "workstations", every: float = 0.002) -> Watch:
        """Begin to connect again and again, until the watch is ended."""
        return Watch(self, self.target(port, zone), every)

    def close(self) -> None:
        """End it."""
        assert self._prober.stdin is not None
        assert self._prober.stdout is not None
        if self._prober.poll() is None:
            self._prober.kill()
        self._prober.wait()
        self._prober.stdin.close()
        self._prober.stdout.close()
        self.namespace.close()


class Watch:
    """A client that keeps connecting, each attempt a new connection that does not wait for the one before."""

    PATIENCE = 0.9
    """Seconds until an attempt counts as dropped: less than TCP's first retransmission, so that an attempt made while the
    port is shut is one that failed."""

    def __init__(self, client: Client, target: dict[str, Any], every: float) -> None:
        self._client = client
        self.every = every
        self.attempts: list[tuple[float, str, float]] = []
        """When it began (seconds of the monotonic clock), what became of it, and after how many ms."""
        client.ask("watch", target=target, every=every, timeout=self.PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reply = self._client.ask("unwatch")
        self.attempts = [(begun, outcome, took) for begun, outcome, took in reply["attempts"]]

    @staticmethod
    def now() -> float:
        """The moment, by the clock of the attempts."""
        return time.monotonic()

    @property
    def failed(self) -> list[tuple[float, str, float]]:
        """Attempts that reached nobody."""
        return [row for row in self.attempts if row[1] != "open"]

    @property
    def shut_ms(self) -> float:
        """How long the port was shut as the client saw it: from the first failed attempt to the next one that succeeded.

        The longest such stretch, in ms; 0.0 when none failed.
        """
        longest, since = 0.0, None
        for begun, outcome, _ in self.attempts:
            if outcome != "open":
                since = begun if since is None else since
            elif since is not None:
                longest, since = max(longest, begun - since), None
        if since is not None:
            longest = max(longest, self.attempts[-1][0] - since)
        return round(longest * 1000, 1)

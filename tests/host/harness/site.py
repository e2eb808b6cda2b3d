"""A print server of a site on a bridge, guarded by portguard, and a client with an address in every zone."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from host.harness import documented
from host.harness.host import Host
from host.harness.network import CLIENT, CLIENTS, SERVER, Bridge, Client, Namespace, address, network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

ZONES = ("workstations", "printers", "admins")

CONFIG = "/etc/portguard/conf.d/50-site.toml"
"""Where the administrator writes, and where the tests do."""

DROPS = """\
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport 22 ip saddr 10.9.0.0/16 accept
  }
}
"""
"""An administrator's /etc/nftables.conf that lets nobody in but by what portguard opens."""


VENDOR = "/opt/vendor/listen.py"
"""Stands on the ports of a product that is not to be had: accepts on TCP, sends back what comes over UDP."""

LISTENS = """\
import selectors, socket, sys
ready = selectors.DefaultSelector()
for word in sys.argv[1:]:
    port, _, transport = word.partition("/")
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    try:
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", int(port)))
    except OSError:
        sock.close()
        sock = socket.socket(socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", int(port)))
    if kind == socket.SOCK_STREAM:
        sock.listen(512)
    ready.register(sock, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        try:
            if key.fileobj.type == socket.SOCK_STREAM:
                key.fileobj.accept()[0].close()
            else:
                key.fileobj.sendto(*key.fileobj.recvfrom(2048))
        except OSError:
            pass
"""

VENDOR_UNIT = """\
[Unit]
Description=A print-management product, as far as its ports go
[Service]
Type=exec
ExecStart=/usr/bin/python3 {program} {ports}
[Install]
WantedBy=multi-user.target
"""


def configuration(role: str = "printum/all-in-one", mode: str = "heal", more: str = "") -> str:
    """Spell the configuration of a site: who is who on its network."""
    lines = [f'role = "{role}"', f'mode = "{mode}"', "[zones]"]
    lines += [f"{zone} = {json.dumps([network(zone, 4), network(zone, 6)])}" for zone in ZONES]
    lines += ["[hosts]"]
    servers = json.dumps([address(CLIENTS, CLIENT, version) for version in (4, 6)])
    lines += [f'"{component}" = {servers}' for component in documented.peers(role)]
    lines += ["[listener]", 'grace = "2s"', more]
    return "\n".join(lines) + "\n"


class Site:
    """A server, a switch and a client."""

    def __init__(
        self,
        release: str,
        layers: Sequence[Path],
        *,
        prepare: Callable[[Namespace], None] | None = None,
    ) -> None:
        self._stack = ExitStack()
        self._prepare = prepare
        try:
            self.bridge = Bridge()
            self._stack.callback(self.bridge.close)
            self.client = self._stack.enter_context(Client(self.bridge))
            self.host = self._stack.enter_context(Host(release, layers, network=self._plug))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _plug(self, namespace: Namespace) -> None:
        if self._prepare is not None:
            self._prepare(namespace)
        self.bridge.plug(namespace, [address("workstations", SERVER, version) for version in (4, 6)])

    # --- portguard on it ---------------------------------------------------------------------------------------

    def configure(self, text: str) -> None:
        """Write the site's file of the configuration."""
        self.host.write(CONFIG, text)

    def sell(self, ports: Iterable[tuple[int, str]]) -> None:
        """Put a product on the server that listens on these ports, started at every boot."""
        words = " ".join(f"{port}/{transport}" for port, transport in sorted(set(ports)))
        self.host.write(VENDOR, LISTENS)
        self.host.write(
            "/etc/systemd/system/product.service", VENDOR_UNIT.format(program=VENDOR, ports=words)
        )
        self.host.enable("product.service")

    def drop(self) -> None:
        """Give the server an administrator's firewall that drops what nobody allowed, loaded at every boot."""
        self.host.write("/etc/nftables.conf", DROPS, 0o755)
        self.host.enable("nftables.service", "sysinit.target")

    def status(self) -> dict[str, Any]:
        """What portguard knows now; raises AssertionError while it knows nothing."""
        done = self.host.run("portguard", "status", "--json", check=False)
        assert done.stdout.startswith("{"), done.stderr or done.stdout
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def journal(self, *words: str) -> list[dict[str, Any]]:
        """Read the host's journal: the entries of the present boot, with all fields."""
        lines = self.host.run("journalctl", "-b", "--output=json", "--no-pager", *words, check=False).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def alerts(self, event: str, state: str = "firing", **fields: str) -> list[dict[str, Any]]:
        """Alerts of a kind that portguard has told the journal in this boot."""
        wanted = {"PORTGUARD_EVENT": event, "PORTGUARD_STATE": state} | {
            f"PORTGUARD_{name.upper()}": value for name, value in fields.items()
        }
        return self.journal("--identifier=portguard", *(f"{name}={value}" for name, value in wanted.items()))

    def alerted(self, event: str, state: str = "firing", **fields: str) -> list[dict[str, Any]]:
        """Wait for an alert, and give all of its kind."""
        found: list[dict[str, Any]] = self.host.wait_for(
            lambda: self.alerts(event, state, **fields), f"{event} {state} {fields or ''}"
        )
        return found

    def ruleset(self) -> str:
        """The host's ruleset, without counters."""
        return self.host.run("nft", "--stateless", "list", "ruleset").stdout

    def settled(self) -> dict[str, Any]:
        """Wait until portguard runs and finds every documented port reachable; gives its status."""

        def good() -> dict[str, Any] | None:
            done = self.host.run("portguard", "status", "--json", check=False)
            if not done.stdout.startswith("{"):
                return None
            document: dict[str, Any] = json.loads(done.stdout)
            inbound = [row for row in document["services"] if row["direction"] == "inbound"]
            reached = all(row["path"]["state"] in ("open", "n/a") for row in inbound)
            return document if inbound and reached else None

        found: dict[str, Any] = self.host.wait_for(good, "every documented port open")
        return found


def own_rules(site: Site) -> list[str]:
    """Rules with portguard's mark, wherever they stand."""
    return sorted(line.strip() for line in site.ruleset().splitlines() if 'comment "portguard:' in line)

"""The lab's network namespaces: made, wired and removed with ``ip``, and never a word to the main namespace.

A router namespace joins the hosts. Each veth pair is created inside it with its far end in the host's namespace, so no
interface of the lab exists in the main namespace at any moment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.errors import LabError
from portguard.lab.topology import HOSTS, ROUTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from portguard.lab.topology import Address, Host, Topology

NETNS = Path("/run/netns")
"""Where ``ip netns`` keeps the names."""

_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
_AT_ONCE = {
    "net/ipv6/conf/all/disable_ipv6": 0,
    "net/ipv6/conf/default/accept_dad": 0,
}
"""Without duplicate address detection an IPv6 address is usable at once, and not after a second."""
_IPV6 = Path("/proc/net/if_inet6")


def ipv6_available() -> bool:
    """Say whether the kernel runs IPv6; without it the lab is IPv4 only."""
    return _IPV6.exists()


class Network:
    """The namespaces of one run, all named with one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        """``pglab-<pid>-``: tells the runs apart and finds what a crashed one left."""
        self.versions = (4, 6) if ipv6_available() else (4,)
        """IP versions that the hosts speak."""

    def namespace(self, host: str) -> str:
        """Name of a host's namespace, as ``ip netns exec`` takes it."""
        return f"{self.prefix}{host}"

    def build(self, topology: Topology) -> None:
        """Make and wire all namespaces. Raises LabError; call :meth:`remove` in every case."""
        names = (ROUTER, *(host.name for host in HOSTS))
        _run(["ip", "-batch", "-"], text="".join(f"netns add {self.namespace(name)}\n" for name in names))
        for name in names:
            self._set_switches(name)
        self._batch(ROUTER, self._router_lines())
        for host in HOSTS:
            self._batch(host.name, self._host_lines(host, topology))

    def remove(self) -> None:
        """End what still runs in the namespaces and delete them. Raises LabError when one stays."""
        remove_namespaces(namespaces(self.prefix))

    def run(self, host: str, argv: Sequence[str], *, text: str | None = None, check: bool = True) -> str:
        """Run a command inside a namespace to its end and return what it printed.

        Raises LabError when it fails, unless ``check`` is off.
        """
        return _run(["ip", "netns", "exec", self.namespace(host), *argv], text=text, check=check)

    def _set_switches(self, name: str) -> None:
        # A fresh namespace may inherit the host's switches (net.core.devconf_inherit_init_net), so state them.
        writes: dict[str, int] = {}
        if 6 in self.versions:
            writes |= _AT_ONCE
        if name == ROUTER:
            writes |= {_FORWARDING[version]: 1 for version in self.versions}
        script = "".join(f"echo {value} > /proc/sys/{path}\n" for path, value in writes.items())
        self.run(name, ["sh", "-ec", f"ip link set lo up\n{script}"])

    def _router_lines(self) -> Iterator[str]:
        for host in HOSTS:
            yield f"link add {host.name} type veth peer name eth0 netns {self.namespace(host.name)}"
            for gateway in host.gateways:
                if gateway.version in self.versions:
                    yield _add_address(gateway, host.name)
            yield f"link set {host.name} up"

    def _host_lines(self, host: Host, topology: Topology) -> Iterator[str]:
        yield "link set eth0 up"
        for address in (*host.addresses, *topology.extra_addresses(host)):
            if address.version in self.versions:
                yield _add_address(address, "eth0")
        for gateway in host.gateways:
            if gateway.version in self.versions:
                # "default" would need ip's option -6; a network of length 0 says its family itself.
                yield f"route add {'0.0.0.0/0' if gateway.version == 4 else '::/0'} via {gateway.ip} dev eth0"

    def _batch(self, host: str, lines: Iterable[str]) -> None:
        _run(["ip", "-n", self.namespace(host), "-batch", "-"], text="".join(f"{line}\n" for line in lines))


def namespaces(prefix: str) -> list[str]:
    """Names of the namespaces that begin with a prefix."""
    try:
        return sorted(entry.name for entry in NETNS.iterdir() if entry.name.startswith(prefix))
    except FileNotFoundError:
        return []


def remove_namespaces(names: Sequence[str]) -> None:
    """Kill the processes in the namespaces, then delete them. Raises LabError when one stays."""
    for name in names:
        _end_processes(name)
    failed = []
    for name in names:
        try:
            _run(["ip", "netns", "delete", name])
        except LabError as error:
            failed.append(str(error))
    if failed:
        raise LabError(f"not everything could be removed: {'; '.join(failed)}")


def processes(name: str) -> list[int]:
    """Ids of the processes that run in a namespace."""
    return [int(word) for word in _run(["ip", "netns", "pids", name], check=False).split()]


def _end_processes(name: str) -> None:
    for _ in range(50):
        found = processes(name)
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _add_address(address: Address, interface: str) -> str:
    return f"addr add {address} dev {interface}"


def _run(argv: Sequence[str], *, text: str | None = None, check: bool = True) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, no shell
            argv, input=text or "", capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise LabError(f"the lab needs the command {argv[0]!r} (Debian: iproute2)") from None
    if check and done.returncode != 0:
        command = " ".join(argv[:8])
        raise LabError(f"`{command}` failed: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done.stdout

"""Files of DHCP clients and servers and of container engines, read with bounds."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from portguard.errors import ObserveError
from portguard.kernel.bounded import LARGEST, MOST, names, read_file
from portguard.kernel.containers import read_networks
from portguard.kernel.fake import FakeClock
from portguard.kernel.leases import read_leases
from portguard.kernel.surroundings import HostFiles
from portguard.model.snapshot import Scope

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

DHCLIENT = """\
default-duid "\\000\\001";
lease {
  interface "eth0";
  fixed-address 10.1.0.7;
  option dhcp-server-identifier 10.1.0.1;
  renew 3 2025/12/31 12:00:00;
  expire 4 2026/01/01 12:00:00;
}
lease {
  interface "eth0";
  fixed-address 10.28.32.5;
  option subnet-mask 255.255.255.192;
  expire 4 2026/01/01 12:00:00;
}
lease {
  interface "eth1";
  fixed-address 10.28.32.6;
  expire 3 2025/12/31 12:00:00;
}
lease {
  interface "eth2";
  fixed-address 10.28.32.7;
  expire never;
}
lease {
  interface "eth3";
  fixed-address 10.28.32.8;
  expire epoch 1767268800; # Thu Jan  1 12:00:00 2026
}
"""

DHCPD = """\
lease 10.28.32.20 {
  starts 3 2025/12/31 00:00:00;
  ends 4 2026/01/01 12:00:00;
  binding state active;
  hardware ethernet 52:54:00:00:00:01;
}
lease 10.28.32.21 {
  ends 4 2026/01/01 12:00:00;
  binding state free;
}
"""

NETWORKD = (
    "# This is private data. Do not parse.\nADDRESS=10.28.32.9\nNETMASK=255.255.255.192\nLIFETIME=3600\n"
)


def put(root: Path, name: str, content: str | bytes, age: float = 0.0) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (NOW - age, NOW - age))
    return path


def leases(root: Path) -> dict[str, str | None]:
    """Addresses that are leased, with their interface; there must be no gap."""
    found, gaps = read_leases(root, NOW)
    assert gaps == ()
    return {lease.address: lease.interface for lease in found}


def packet(address: str, *options: tuple[int, bytes]) -> bytes:
    """Put together what a DHCP server answers."""
    head = bytearray(236)
    head[16:20] = bytes(map(int, address.split(".")))
    tail = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return bytes(head) + b"\x63\x82\x53\x63" + tail + b"\xff"


class TestLeases:
    """What is held now, and what is not any more."""

    def test_of_dhclients_blocks_the_last_of_each_interface_counts_until_it_expires(
        self, tmp_path: Path
    ) -> None:
        put(tmp_path, "var/lib/dhcp/dhclient.leases", DHCLIENT)

        assert leases(tmp_path) == {"10.28.32.5": "eth0", "10.28.32.7": "eth2", "10.28.32.8": "eth3"}

    def test_what_a_dhcp_server_gave_away_is_a_lease_while_it_is_active(self, tmp_path: Path) -> None:
        put(tmp_path, "var/lib/dhcp/dhcpd.leases", DHCPD)
        (found,), _ = read_leases(tmp_path, NOW)

        assert (found.address, found.given) == ("10.28.32.20", True)

    def test_networkd_and_networkmanager_tell_the_address(self, tmp_path: Path) -> None:
        put(tmp_path, "run/systemd/netif/leases/2", NETWORKD)
        name = "internal-9d1e0f1c-0b4e-4d84-9e52-1fbb3a0e2a11-eth0.lease"
        put(tmp_path, f"var/lib/NetworkManager/{name}", NETWORKD.replace("32.9", "32.10"))

        assert leases(tmp_path) == {"10.28.32.9": None, "10.28.32.10": "eth0"}

    def test_a_file_that_outlived_its_lease_is_no_lease(self, tmp_path: Path) -> None:
        put(tmp_path, "var/lib/NetworkManager/internal-x.lease", NETWORKD, age=3601)

        assert leases(tmp_path) == {}

    def test_dhcpcds_packet_is_read_and_its_age_counted(self, tmp_path: Path) -> None:
        hour = (51, (3600).to_bytes(4))
        put(tmp_path, "var/lib/dhcpcd/eth0.lease", packet("10.28.32.11", (53, b"\x05"), hour), age=3599)
        put(tmp_path, "var/lib/dhcpcd/eth1.lease", packet("10.28.32.12", (53, b"\x05"), hour), age=3601)
        put(tmp_path, "var/lib/dhcpcd5/wlan0-home.lease", packet("10.28.32.13"), age=10**6)

        assert leases(tmp_path) == {"10.28.32.11": "eth0", "10.28.32.13": "wlan0"}

    def test_dnsmasqs_lines_are_leases_given_away(self, tmp_path: Path) -> None:
        lines = [
            f"{NOW + 60:.0f} 52:54:00:00:00:01 10.28.32.30 printer *",
            f"{NOW - 60:.0f} 52:54:00:00:00:02 10.28.32.31 gone *",
            "0 52:54:00:00:00:03 10.28.32.32 forever *",
            "duid 00:01:00:01",
        ]
        put(tmp_path, "var/lib/misc/dnsmasq.leases", "\n".join(lines))
        found, _ = read_leases(tmp_path, NOW)

        assert [(row.address, row.given) for row in found] == [("10.28.32.30", True), ("10.28.32.32", True)]

    def test_without_any_file_there_is_neither_a_lease_nor_a_gap(self, tmp_path: Path) -> None:
        assert leases(tmp_path) == {}

    @pytest.mark.parametrize(
        "content",
        [
            b"lease {",
            b"lease {\n fixed-address nonsense;\n}\n",
            b"ADDRESS=\n",
            b"\xff" * 300,
            packet("10.28.32.5")[:239],
            packet("10.28.32.5")[:-1] + b"\x33\xff\x00",
            b"lease {\n fixed-address 10.1.0.1;\n expire 9 2026/99/99 99:99:99;\n}\n",
        ],
    )
    def test_nonsense_in_a_file_harms_nobody(self, tmp_path: Path, content: bytes) -> None:
        for name in (
            "var/lib/dhcp/a.leases",
            "run/systemd/netif/leases/2",
            "var/lib/dhcpcd/eth0.lease",
            "var/lib/misc/d.leases",
        ):
            put(tmp_path, name, content)

        assert read_leases(tmp_path, NOW)[1] == ()

    def test_what_cannot_be_read_is_a_gap_and_the_rest_is_read(self, tmp_path: Path) -> None:
        secret = put(tmp_path, "elsewhere", DHCLIENT)
        (tmp_path / "var/lib/dhcp").mkdir(parents=True)
        (tmp_path / "var/lib/dhcp/link.leases").symlink_to(secret)
        os.mkfifo(tmp_path / "var/lib/dhcp/fifo.leases")
        put(tmp_path, "var/lib/dhcp/huge.leases", bytes(LARGEST + 1))
        put(tmp_path, "run/systemd/netif/leases/2", NETWORKD)

        found, gaps = read_leases(tmp_path, NOW)
        assert [row.address for row in found] == ["10.28.32.9"]
        assert {gap.scope for gap in gaps} == {Scope.LEASES}
        reasons = " ".join(gap.reason for gap in gaps)
        assert all(word in reasons for word in ("is a link", "is not a regular file", "is larger than"))


class TestContainers:
    """What engines are told."""

    def test_dockers_bridge_and_pools(self, tmp_path: Path) -> None:
        document = {
            "bip": "10.28.32.1/26",
            "fixed-cidr": "10.28.32.32/27",
            "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}, "nonsense"],
            "dns": ["10.28.32.1"],
        }
        put(tmp_path, "etc/docker/daemon.json", json.dumps(document))
        found, gaps = read_networks(tmp_path)

        assert gaps == ()
        assert {(row.name, row.network, row.interface) for row in found} == {
            ("bip", "10.28.32.0/26", "docker0"),
            ("fixed-cidr", "10.28.32.32/27", "docker0"),
            ("default-address-pools", "10.0.0.0/8", None),
        }

    def test_podmans_networks(self, tmp_path: Path) -> None:
        document = {
            "name": "printum",
            "driver": "bridge",
            "network_interface": "br-printum0",
            "subnets": [{"subnet": "10.28.32.0/26", "gateway": "10.28.32.1"}, {"subnet": "fd00::/64"}],
        }
        put(tmp_path, "etc/containers/networks/printum.json", json.dumps(document))

        assert [(row.name, row.network, row.interface) for row in read_networks(tmp_path)[0]] == [
            ("printum", "10.28.32.0/26", "br-printum0"),
            ("printum", "fd00::/64", "br-printum0"),
        ]

    def test_cni_networks(self, tmp_path: Path) -> None:
        ranges = {"type": "host-local", "ranges": [[{"subnet": "10.28.32.0/26"}]]}
        document = {"name": "cni", "plugins": [{"type": "bridge", "bridge": "cni0", "ipam": ranges}]}
        put(tmp_path, "etc/cni/net.d/87-podman.conflist", json.dumps(document))

        assert [(row.network, row.interface) for row in read_networks(tmp_path)[0]] == [
            ("10.28.32.0/26", "cni0")
        ]

    @pytest.mark.parametrize("content", ["{", "[1]", '"text"', '{"bip": 7}', "[" * 100_000, "\xff"])
    def test_nonsense_is_at_worst_a_gap(self, tmp_path: Path, content: str) -> None:
        put(tmp_path, "etc/docker/daemon.json", content)
        put(tmp_path, "etc/containers/networks/a.json", content)
        found, gaps = read_networks(tmp_path)

        assert found == ()
        assert {gap.scope for gap in gaps} <= {Scope.CONTAINER_NETWORKS}

    def test_a_file_of_brackets_ends_early(self, tmp_path: Path) -> None:
        deep = '{"a":' * 50 + '{"subnet": "10.28.32.0/26"}' + "}" * 50
        put(tmp_path, "etc/containers/networks/a.json", deep)

        assert read_networks(tmp_path) == ((), ())


class TestBounds:
    """The reading itself."""

    def test_a_missing_file_is_none_and_a_folder_is_no_file(self, tmp_path: Path) -> None:
        assert read_file(tmp_path / "none") is None
        assert read_file(tmp_path / "none" / "deeper") is None
        with pytest.raises(ObserveError, match="not a regular file"):
            read_file(tmp_path)

    def test_a_folder_of_too_many_files_is_not_read_in_part(self, tmp_path: Path) -> None:
        for number in range(MOST + 1):
            (tmp_path / str(number)).touch()

        with pytest.raises(ObserveError, match="more than 256"):
            names(tmp_path)

    def test_the_clock_decides_what_is_over(self, tmp_path: Path) -> None:
        put(tmp_path, "var/lib/dhcp/dhclient.leases", DHCLIENT)
        clock = FakeClock()
        files = HostFiles(clock, tmp_path)
        before = len(files.read().leases)
        clock.advance(86400)

        assert (before, len(files.read().leases)) == (3, 1)

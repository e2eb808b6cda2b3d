"""Which package a file belongs to, as dpkg's lists have it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from portguard.kernel.packages import Packages

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dpkg(tmp_path: Path) -> Path:
    lists = {
        "nftables": "/.\n/usr\n/usr/sbin\n/usr/sbin/nft\n",
        "bash": "/.\n/bin\n/bin/bash\n",
        "libexample:amd64": "/.\n/usr/lib/example/helper\n",
        "samba": "/.\n/usr/sbin/smbd\n/usr/sbin/smbd-more\n",
        "perf": "/.\n/usr/bin/perf\n",
        "perf-wrapper": "/.\n/usr/bin/perf\n",
        "vendor-suite": "/.\n/opt/vendor/bin/server\n",
    }
    info = tmp_path / "info"
    info.mkdir()
    for name, content in lists.items():
        (info / f"{name}.list").write_text(content)
        (info / f"{name}.md5sums").write_text(content)
    (tmp_path / "diversions").write_text("/usr/bin/perf\n/usr/bin/perf.real\nperf-wrapper\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/usr/sbin/nft", "nftables"),
        ("/bin/bash", "bash"),
        ("/usr/bin/bash", "bash"),
        ("/sbin/nft", "nftables"),
        ("/usr/lib/example/helper", "libexample"),
        ("/lib/example/helper", "libexample"),
        ("/usr/sbin/smbd", "samba"),
        ("/opt/vendor/bin/server", "vendor-suite"),
        ("/usr/sbin/nft (deleted)", "nftables"),
        ("/usr/sbin/nf", None),
        ("/usr/sbin", None),
        ("/usr/local/sbin/nft", None),
        ("/home/bob/nft", None),
        ("/tmp/usr/sbin/nft", None),
        ("", None),
        ("/usr/sbin/x\n/usr/sbin/nft", None),
    ],
)
def test_names_the_package_that_lists_the_file(path: str, package: str | None, dpkg: Path) -> None:
    if path == "/usr/sbin":
        # A directory belongs to many; only files are asked for.
        (dpkg / "info" / "nftables.list").write_text("/usr/sbin/nft\n")
    assert Packages(str(dpkg)).of(path) == package


def test_a_diverted_file_belongs_to_whom_it_came_from_and_its_place_to_whom_it_was_made_for(
    dpkg: Path,
) -> None:
    packages = Packages(str(dpkg))

    assert packages.of("/usr/bin/perf") == "perf-wrapper"
    assert packages.of("/usr/bin/perf.real") == "perf"


def test_a_local_diversion_moves_a_file_and_owns_none(dpkg: Path) -> None:
    (dpkg / "diversions").write_text("/usr/sbin/nft\n/usr/sbin/nft.distrib\n:\n")
    packages = Packages(str(dpkg))

    assert packages.of("/usr/sbin/nft.distrib") == "nftables"


def test_an_answer_is_kept_until_packages_come_or_go(dpkg: Path) -> None:
    packages = Packages(str(dpkg))
    assert packages.of("/usr/sbin/new") is None
    stamp = (dpkg / "info").stat()
    (dpkg / "info" / "new.list").write_text("/usr/sbin/new\n")
    os.utime(dpkg / "info", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert packages.of("/usr/sbin/new") is None

    os.utime(dpkg / "info", ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert packages.of("/usr/sbin/new") == "new"


def test_a_host_without_dpkg_has_no_packages(tmp_path: Path) -> None:
    assert Packages(str(tmp_path / "none")).of("/usr/sbin/nft") is None


def test_a_list_that_goes_meanwhile_is_passed_over(dpkg: Path) -> None:
    (dpkg / "info" / "nftables-extra.list").symlink_to(dpkg / "gone")

    assert Packages(str(dpkg)).of("/usr/sbin/nft") == "nftables"

"""Firewalls from Debian's own packages, run without installing them: unpacked beside the host, over an overlay of it.

Nothing of the host is written: each run has a mount namespace of its own, in which the packages lie over the host's root,
and the network namespace of the caller. No service is started but those that a script starts and ends itself.

foomuuri, and the netavark that knows nftables, are younger than Debian 12. There they come from Debian 13, by an apt with lists of its
own; netavark brings the C library along that it was built for.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packets import Namespace

PACKAGES = (
    "iptables", "libip4tc2", "libip6tc2", "libxtables12", "libnetfilter-conntrack3", "libnfnetlink0", "libmnl0",
    "libnftnl11", "ufw", "firewalld", "python3-firewall", "python3-dbus", "python3-gi", "python3-nftables",
    "python3-cap-ng", "libcap-ng0", "libgirepository-1.0-1", "gir1.2-glib-2.0", "dbus-daemon", "libdbus-1-3",
    "libexpat1", "libapparmor1", "fail2ban", "shorewall", "shorewall6", "shorewall-core", "bc", "perl",
    "python3-requests", "python3-urllib3", "python3-certifi", "python3-idna", "python3-chardet",
    "python3-charset-normalizer", "kmod", "libkmod2",
)  # fmt: skip
NEWER = ("foomuuri", "netavark", "libc6", "libgcc-s1")
NEWER_SUITE = "trixie"
CACHE = Path(__file__).parent.parent.parent / "build" / "debian-programs"
LIBRARIES = f"usr/lib/{platform.machine()}-linux-gnu"
XTABLES = CACHE / LIBRARIES / "xtables"
"""Where nft finds the words for iptables' matches, as on a host with the package installed."""

_NETAVARK = """#!/bin/sh
cd /opt/newer/{libraries}
exec ./ld-linux-*.so.? --library-path . /opt/newer/usr/lib/podman/netavark "$@"
"""
_ENTER = """
set -e
mount --make-rprivate /
mount -t tmpfs none {work}
mkdir {work}/upper {work}/work {work}/root
cp -a {cache}/. {work}/upper/
mount -t overlay overlay -o lowerdir=/,upperdir={work}/upper,workdir={work}/work {work}/root
for part in proc dev; do mount --rbind /$part {work}/root/$part; done
mount -t sysfs sysfs {work}/root/sys
mount -t tmpfs none {work}/root/run
mount -t tmpfs none {work}/root/tmp
cat > {work}/root/job.sh
exec chroot {work}/root /bin/bash -e /job.sh
"""
_WITHIN = """
unset XTABLES_LIBDIR  # within, the words lie where they belong
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
"""


def unpack() -> None:
    """Fetch and unpack the packages once. Raises CalledProcessError when apt cannot fetch them."""
    names = [*PACKAGES, *_parts_of_perl()]
    stamp = CACHE / "packages"
    wanted = " ".join((*names, *NEWER))
    if stamp.exists() and stamp.read_text() == wanted:
        return
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as scratch:
        folder = Path(scratch)
        folder.chmod(0o777)  # apt fetches as a user of its own
        root = folder / "root"
        _unpacked(folder / "here", names, [], root)
        _unpacked(folder / "newer", NEWER, _of_newer_suite(folder / "apt"), root / "opt" / "newer")
        shutil.copytree(root / "opt/newer/usr/sbin", root / "usr/sbin", dirs_exist_ok=True)
        shutil.copytree(root / "opt/newer/usr/share/foomuuri", root / "usr/share/foomuuri")
        _links(root)
        (root / stamp.name).write_text(wanted)
        shutil.rmtree(CACHE, ignore_errors=True)
        root.rename(CACHE)


def _parts_of_perl() -> list[str]:
    """Name the packages of perl's modules, whose names hold its version."""
    listed = _apt("apt-cache", "depends", "--important", "perl").split()
    return sorted({name for name in listed if name.startswith(("perl-modules-", "libperl5."))})


def _of_newer_suite(folder: Path) -> list[str]:
    """Options that let apt see Debian 13, by lists of its own; none where the host has the packages itself."""
    if _apt("apt-cache", "search", "--names-only", "^foomuuri$"):
        return []
    uris = _apt(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"
    ).split()
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "newer.list").write_text(f"deb [signed-by={keys}] {uris[0]} {NEWER_SUITE} main\n")
    options = [
        f"Dir::Etc::sourcelist={folder}/newer.list",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={folder}/lists",
        f"Dir::Cache={folder}/cache",
        "Acquire::Languages=none",
    ]
    chosen = [word for option in options for word in ("-o", option)]
    _apt("apt-get", *chosen, "update", "-qq")
    return chosen


def _unpacked(folder: Path, names: tuple[str, ...] | list[str], options: list[str], root: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    subprocess.run(
        ["apt-get", *options, "download", "-qq", *names], cwd=folder, check=True, capture_output=True
    )
    for package in sorted(folder.glob("*.deb")):
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)


def _links(root: Path) -> None:
    """Lay the tree out as on an installed host."""
    for name in ("bin", "sbin", "lib", "lib64"):
        # The host's /lib is a link into /usr: a folder of that name over it would hide every library.
        if (root / name).is_dir():
            shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root / name)
    for name in ("iptables", "ip6tables"):
        for end in ("", "-restore", "-save"):
            link = root / "usr" / "sbin" / f"{name}{end}"
            link.unlink(missing_ok=True)
            link.symlink_to("xtables-nft-multi")
    netavark = root / "usr" / "sbin" / "netavark"
    netavark.write_text(_NETAVARK.format(libraries=LIBRARIES))
    netavark.chmod(0o755)


def _apt(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(namespace: Namespace, script: str) -> str:
    """Run a shell script over the unpacked programs, in a network namespace. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as work:
        enter = _ENTER.format(work=work, cache=CACHE)
        return namespace.command(["unshare", "-m", "bash", "-c", enter], f"{_WITHIN}{script}")

"""Firewalls from Debian's own packages, run without installing them: unpacked beside the host, over an overlay of it.

Nothing of the host is written: each run has a mount namespace of its own, in which the packages lie over the host's root,
and the network namespace of the caller. No service is started but those that a script starts and ends itself.
"""

from __future__ import annotations

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
    "libexpat1", "libapparmor1", "fail2ban",
)  # fmt: skip
CACHE = Path(__file__).parent.parent.parent / "build" / "debian-programs"
XTABLES = CACHE / "usr" / "lib" / "x86_64-linux-gnu" / "xtables"
"""Where nft finds the words for iptables' matches, as on a host with the package installed."""

_ENTER = """
set -e
mount --make-rprivate /
mount -t tmpfs none {work}
mkdir {work}/upper {work}/work {work}/root
cp -a {cache}/. {work}/upper/
mount -t overlay overlay -o lowerdir=/,upperdir={work}/upper,workdir={work}/work {work}/root
for part in proc sys dev; do mount --rbind /$part {work}/root/$part; done
mount -t tmpfs none {work}/root/run
cat > {work}/root/job.sh
exec chroot {work}/root /bin/bash -e /job.sh
"""


def unpack() -> None:
    """Fetch and unpack the packages once. Raises CalledProcessError when apt cannot fetch them."""
    if (CACHE / "usr").exists():
        return
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as scratch:
        folder = Path(scratch)
        folder.chmod(0o777)  # apt fetches as a user of its own
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=folder, check=True, capture_output=True)
        root = folder / "root"
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
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
        root.rename(CACHE)


def run(namespace: Namespace, script: str) -> str:
    """Run a shell script over the unpacked programs, in a network namespace. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as work:
        enter = _ENTER.format(work=work, cache=CACHE)
        return namespace.command(
            ["unshare", "-m", "bash", "-c", enter], f"export PATH=/usr/sbin:/usr/bin\n{script}"
        )

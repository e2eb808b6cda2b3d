"""The Debian releases: roots made once, with real services, and a depot of packages so that apt needs no network."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from host.harness.held import HOSTS, ROOT, HarnessError, command

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = ("systemd", "systemd-sysv", "dbus", "nftables", "iproute2", "procps", "python3")
"""What a small server of Debian has."""

SERVICES = (
    "redis-server", "haproxy", "default-jre-headless", "vsftpd", "samba", "snmpd", "postgresql", "etcd-server",
    "exim4-daemon-light", "cups-daemon", "cups-client",
)  # fmt: skip
"""Real services that a role documents, or that must not be taken for one. None starts by itself."""

DEPOT = "srv/depot"
_MARK = ".finished-for"
_SOURCES = f"deb [trusted=yes] file:/{DEPOT} ./\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of Debian, and the portguard package for it."""

    name: str
    codename: str
    services: tuple[str, ...]
    package: Path
    """The package under test, as ``make deb`` leaves it."""

    @property
    def root(self) -> Path:
        """Its root: what every host of it lies on."""
        return HOSTS / self.codename


def debian(version: int, package: Path) -> Release:
    """Describe Debian 12 or 13."""
    codename, more = {12: ("bookworm", ()), 13: ("trixie", ("valkey-server",))}[version]
    return Release(name=f"debian{version}", codename=codename, services=(*SERVICES, *more), package=package)


def prepare(release: Release) -> Path:
    """Make the root of a release where it is missing or out of date; give its folder.

    Takes minutes and the network once, and no time from then on. Raises HarnessError when it cannot be made.
    """
    HOSTS.mkdir(parents=True, exist_ok=True)
    root = release.root
    with _locked(HOSTS / f"{release.codename}.hosts-lock"):
        _debian_root(release)
        wanted = _depends(release.package)
        stamp = hashlib.sha256(f"{wanted} {Path(__file__).read_text()}".encode()).hexdigest()
        mark = root / _MARK
        if not mark.exists() or mark.read_text() != stamp:
            mark.unlink(missing_ok=True)
            _switch_off(root)
            _fill_depot(root, wanted)
            mark.write_text(stamp)
    return root


def _debian_root(release: Release) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "debian-root", release.codename, release.root, *SYSTEM, *release.services],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise HarnessError(f"the root of {release.name} cannot be made: {done.stderr[-2000:]}")


def _depends(package: Path) -> tuple[str, ...]:
    """Names of the packages that a package depends on or recommends, by its control file."""
    names: set[str] = set()
    for field in ("Depends", "Recommends"):
        text = command("dpkg-deb", "--field", str(package), field).stdout
        names |= {match[0] for part in text.split(",") if (match := re.match(r"[a-z0-9.+-]+", part.strip()))}
    return tuple(sorted(names))


def _switch_off(root: Path) -> None:
    """Disable the units of the services and of all that came with them: each test starts what it needs."""
    kept = {"getty@.service", "remote-fs.target", "systemd-pstore.service", "dbus.service"}
    for link in (root / "etc/systemd/system").rglob("*"):
        if link.is_symlink() and Path(link.readlink()).name not in kept:
            link.unlink()
    # Without a unit of its own a service comes by its init script, which systemd would start as well.
    for link in root.glob("etc/rc[2-5].d/S*"):
        link.unlink()


def _fill_depot(root: Path, wanted: tuple[str, ...]) -> None:
    """Put the packages that portguard needs beside the system, uninstalled, as a repository that apt can read."""
    depot = root / DEPOT
    shutil.rmtree(depot, ignore_errors=True)
    depot.mkdir(parents=True)
    sources = root / "etc/apt/sources.list"
    saved = root / "etc/apt/sources.list.debian"
    if not saved.exists():
        shutil.copy2(sources, saved)
    shutil.copy2(saved, sources)
    options = {
        "Dir": root,
        "Dir::State::status": root / "var/lib/dpkg/status",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Cache::archives": depot,
        "APT::Sandbox::User": "root",
        "APT::Update::Post-Invoke-Success": "",
        "APT::Install-Recommends": "false",
    }
    apt = ["apt-get", "-qq", "-y", *(f"--option={name}={value}" for name, value in options.items())]
    (depot / "partial").mkdir()
    command(*apt, "update", timeout=300)
    command(*apt, "--download-only", "install", *wanted, timeout=300)
    for rubbish in ("partial", "lock"):
        path = depot / rubbish
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (depot / "Packages").write_text("\n".join(_entry(path) for path in sorted(depot.glob("*.deb"))))
    sources.write_text(_SOURCES)
    for folder in ("var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()


def _entry(package: Path) -> str:
    """Spell one paragraph of a repository's index."""
    data = package.read_bytes()
    control = command("dpkg-deb", "--field", str(package)).stdout
    return f"{control}Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

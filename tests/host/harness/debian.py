"""One release of Debian in a run of the tests, and portguard installed on it once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from host.harness import packages, releases
from host.harness.host import Host
from host.harness.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from host.harness.network import Namespace

FILES = (
    "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /run -prune -o -path /tmp -prune"
    " -o -path /var/log/journal -prune -o -path /var/tmp -prune -o -print | sort"
)
"""Shell: every file of a host's disk, but for what lives in memory and the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How a host was when apt had installed portguard on it."""

    upper: Path
    """What the installation wrote: the layer that further hosts lie on."""
    files_before: frozenset[str]
    ruleset_before: str
    ruleset: str
    apt: str
    """What apt printed."""
    journal: str
    """What the service and its manager said."""
    active: str
    enabled: str
    failed: str
    status: str
    """What ``portguard status --json`` printed."""


class Debian:
    """Gives sites of one release. A context: the end throws the installation away."""

    def __init__(self, version: int) -> None:
        self.release = releases.debian(version, packages.built(version))
        self.name = self.release.name
        self.root = releases.prepare(self.release)
        self._installer: Host | None = None
        self._installation: Installation | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installer is not None:
            self._installer.destroy()

    @property
    def installation(self) -> Installation:
        """The one installation of this run, made when it is first asked for."""
        if self._installation is None:
            self._installer = Host(self.name, [self.root])
            self._installation = self._install(self._installer.boot())
            # Of what this host has seen and said, the copies that lie on it know nothing.
            self._installer.shell("systemctl stop portguard; rm -rf /var/lib/portguard/*")
            self._installer.stop()
            shutil.rmtree(self._installer.upper / "var/log/journal")
        return self._installation

    def bare(self, prepare: Callable[[Namespace], None] | None = None) -> Site:
        """A site whose server has no portguard yet."""
        return Site(self.name, [self.root], prepare=prepare)

    def installed(self, prepare: Callable[[Namespace], None] | None = None) -> Site:
        """A site whose server has it, as ``apt install`` leaves it."""
        return Site(self.name, [self.installation.upper, self.root], prepare=prepare)

    def _install(self, host: Host) -> Installation:
        files = frozenset(host.shell(FILES).splitlines())
        ruleset = host.shell("nft --stateless list ruleset")
        apt = packages.install(host, self.release.package)
        show = ("ActiveState", "SubState", "UnitFileState")
        properties = host.show("portguard.service", *show)
        return Installation(
            upper=host.upper,
            files_before=files,
            ruleset_before=ruleset,
            ruleset=host.shell("nft --stateless list ruleset"),
            apt=apt,
            journal=host.run("journalctl", "-b", "-u", "portguard", "--no-pager", "-o", "short").stdout,
            active=f"{properties['ActiveState']} {properties['SubState']}",
            enabled=properties["UnitFileState"],
            failed=host.systemctl("list-units", "--failed", "--plain", "--no-legend"),
            status=host.run("portguard", "status", "--json", check=False).stdout,
        )

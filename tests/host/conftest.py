"""Fixtures: both releases of Debian, bare or with portguard installed, booted and on a network with a client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from host.harness import leftovers, packages, releases
from host.harness.host import Host
from host.harness.site import Site, configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from host.harness.network import Namespace
    from host.harness.releases import Release

HERE = os.path.dirname(__file__)  # noqa: PTH120 - compared with what pytest gives


class Debian:
    """One release in this run of the tests."""

    def __init__(self, version: int) -> None:
        self.release: Release = releases.debian(version, packages.built(version))
        self.root: Path = releases.prepare(self.release)
        self._installer: Host | None = None

    def bare(self, prepare: Callable[[Namespace], None] | None = None) -> Site:
        """A site whose server has no portguard yet."""
        return Site(self.release.name, [self.root], prepare=prepare)

    def installed(self, prepare: Callable[[Namespace], None] | None = None) -> Site:
        """A site whose server has it, as ``apt install`` leaves it. Installed once, whatever asks for it."""
        if self._installer is None:
            host = Host(self.release.name, [self.root])
            host.boot()
            packages.install(host, self.release.package)
            host.stop()
            self._installer = host
        return Site(self.release.name, [self._installer.upper, self.root], prepare=prepare)

    def close(self) -> None:
        """Throw the installation away."""
        if self._installer is not None:
            self._installer.destroy()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, so that no test of it runs with those that need no hosts."""
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker("host")


@pytest.fixture(scope="session")
def harness(host_untouched: None) -> Iterator[None]:  # noqa: ARG001 - the machine's network is watched before and after
    """Take away what killed runs left, and prove that this one leaves nothing."""
    leftovers.sweep()
    yield
    leftovers.end_of_run()
    assert leftovers.found(os.getpid()) == []


@pytest.fixture(scope="session")
def debian12(harness: None) -> Iterator[Debian]:  # noqa: ARG001 - swept before, judged after
    """Debian 12."""
    debian = Debian(12)
    yield debian
    debian.close()


@pytest.fixture(scope="session")
def debian13(harness: None) -> Iterator[Debian]:  # noqa: ARG001 - swept before, judged after
    """Debian 13."""
    debian = Debian(13)
    yield debian
    debian.close()


@pytest.fixture(scope="session", params=["debian12", "debian13"])
def debian(request: pytest.FixtureRequest) -> Debian:
    """Each release in turn."""
    chosen: Debian = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def bare(debian: Debian) -> Iterator[Site]:
    """A booted server without portguard."""
    with debian.bare() as site:
        site.host.boot()
        yield site


@pytest.fixture
def observing(debian: Debian) -> Iterator[Site]:
    """A booted server on which portguard was installed and nothing configured."""
    with debian.installed() as site:
        site.host.boot()
        yield site


@pytest.fixture
def host(debian: Debian) -> Iterator[Site]:
    """A booted server of role printum/all-in-one with portguard in mode heal."""
    with debian.installed() as site:
        site.configure(configuration())
        site.host.boot()
        yield site

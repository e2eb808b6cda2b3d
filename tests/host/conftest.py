"""Fixtures: both releases of Debian, bare or with portguard installed, booted and on a network with a client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from host.harness import documented, leftovers
from host.harness.debian import Debian
from host.harness.site import configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from host.harness.site import Site

HERE = os.path.dirname(__file__)  # noqa: PTH120 - compared with what pytest gives


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
    with Debian(12) as debian:
        yield debian


@pytest.fixture(scope="session")
def debian13(harness: None) -> Iterator[Debian]:  # noqa: ARG001 - swept before, judged after
    """Debian 13."""
    with Debian(13) as debian:
        yield debian


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
def unbooted(debian: Debian) -> Iterator[Site]:
    """A server of role printum/all-in-one as :func:`host` has it, to be changed before it boots."""
    with debian.installed() as site:
        site.configure(configuration())
        site.drop()
        site.sell((port.number, port.transport) for port in documented.ports("printum/all-in-one"))
        yield site


@pytest.fixture
def host(unbooted: Site) -> Site:
    """A server with the ports of printum/all-in-one, a firewall that drops by default, and portguard in mode heal."""
    unbooted.host.boot()
    unbooted.settled()
    return unbooted

"""All edges together on the real kernel."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.errors import ObserveError
from portguard.kernel import real
from portguard.kernel.real import open_world

if TYPE_CHECKING:
    from namespaces import Netns
    from portguard.kernel.world import Firewall

pytestmark = pytest.mark.kernel


def descriptors() -> set[str]:
    return {fd.name for fd in Path("/proc/self/fd").iterdir()}


def test_a_closed_world_holds_no_descriptor(netns: Netns) -> None:  # noqa: ARG001 - opened in it
    before = descriptors()
    world = open_world()
    world.firewall.read()
    world.sockets.listeners()
    world.links.read()
    assert len(descriptors()) > len(before)

    world.close()

    assert descriptors() == before


def test_a_world_that_cannot_be_opened_whole_leaves_nothing_open(
    netns: Netns,  # noqa: ARG001 - opened in it
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_firewall: Firewall) -> None:
        raise ObserveError("not permitted")

    before = descriptors()
    monkeypatch.setattr(real, "NftEvents", refuse)
    with pytest.raises(ObserveError, match="not permitted"):
        open_world()

    assert descriptors() == before


def test_without_the_binding_the_package_to_install_is_named(
    netns: Netns,  # noqa: ARG001 - opened in it
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)

    with pytest.raises(ObserveError, match="apt install python3-nftables"):
        open_world()


def test_the_clock_is_the_hosts(netns: Netns) -> None:  # noqa: ARG001 - opened in it
    world = open_world()
    try:
        first, second = world.clock.monotonic(), world.clock.monotonic()
        assert first <= second
        assert abs((datetime.now(UTC) - world.clock.now()).total_seconds()) < 60
        assert world.clock.now().tzinfo is UTC
    finally:
        world.close()

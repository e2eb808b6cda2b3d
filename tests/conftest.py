"""Fixtures of every tier: network namespaces for kernel tests, and the proof that the host is left alone."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from namespaces import MAIN, Netns, fresh_namespace, namespace
from vendor_documents import documents, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract_sides import Side

__all__ = ["documents", "shipped"]  # fixtures of every tier, kept where they are described

HOST_STATE = (
    ("nft", "--stateless", "list", "ruleset"),
    ("ip", "-oneline", "address", "show"),
    ("ip", "-4", "route", "show", "table", "all"),
    ("ip", "-6", "route", "show", "table", "all"),
)
PASSES_BY_ITSELF = re.compile(r"(valid_lft|preferred_lft|expires) \S+")
"""Lifetimes of leased addresses run down without anybody's doing."""


@pytest.fixture
def netns(host_untouched: None) -> Iterator[Netns]:  # noqa: ARG001 - watched before and after
    """Give the test a network namespace of its own."""
    with fresh_namespace() as inside:
        yield inside


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """Give each case of the contract both kernels in turn."""
    # Not above: unit tests need not load what speaks to the real kernel.
    from contract_sides import FakeSide, RealSide

    with ExitStack() as stack:
        if request.param == "fake":
            fake = FakeSide()
            stack.callback(fake.world.close)
            yield fake
        else:
            yield RealSide(request.getfixturevalue("netns"), stack)


@pytest.fixture(scope="session")
def host_untouched() -> Iterator[None]:
    """Prove that ruleset, addresses and routes of the host are after the tests what they were before."""
    before = _host_state()
    yield
    assert namespace() == MAIN, "the tests ended in another namespace than they began in"
    assert _host_state() == before


@pytest.fixture(autouse=True)
def _watched(request: pytest.FixtureRequest) -> None:
    """Watch the host around everything that works on the real kernel."""
    if any(request.node.get_closest_marker(name) for name in ("kernel", "lab")):
        request.getfixturevalue("host_untouched")


def _host_state() -> dict[str, str]:
    """Ruleset, addresses and routes of the namespace pytest was started in."""
    state = {}
    for command in HOST_STATE:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            pytest.fail(f"cannot watch the host: {' '.join(command)}: {done.stderr.strip()}; needs root")
        state[" ".join(command)] = PASSES_BY_ITSELF.sub(r"\1", done.stdout)
    return state

"""Fixtures of every tier: network namespaces for kernel tests, and the proof that the host is left alone."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from namespaces import MAIN, Netns, fresh_namespace, host_state, namespace
from vendor_documents import documents, shipped

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from contract_sides import Side

__all__ = ["documents", "shipped"]  # fixtures of every tier, kept where they are described


def pytest_configure() -> None:
    """Let no program under test know how wide the terminal is that the tests happen to run in."""
    os.environ.pop("COLUMNS", None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Let no test be passed over in CI: what did not run has proven nothing."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and in CI that is a failure: {report.longrepr}"


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


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def announcing(request: pytest.FixtureRequest) -> Iterator[Side]:
    """Give a case both kernels in turn, as they announce listeners."""
    from contract_sides import FakeSide, RealSide

    from trace_instance import alone_tracing

    with ExitStack() as stack:
        if request.param == "fake":
            fake = FakeSide(announces=True)
            stack.callback(fake.world.close)
            yield fake
        else:
            instance = stack.enter_context(alone_tracing())
            yield RealSide(request.getfixturevalue("netns"), stack, trace=instance)


@pytest.fixture(scope="session")
def host_untouched() -> Iterator[None]:
    """Prove that ruleset, addresses and routes of the host are after the tests what they were before."""
    before = host_state()
    yield
    assert namespace() == MAIN, "the tests ended in another namespace than they began in"
    assert host_state() == before


@pytest.fixture(autouse=True)
def _watched(request: pytest.FixtureRequest) -> None:
    """Watch the host around everything that works on the real kernel."""
    if any(request.node.get_closest_marker(name) for name in ("kernel", "lab")):
        request.getfixturevalue("host_untouched")

"""The safety net of the kernel tests themselves."""

from __future__ import annotations

import pytest

from namespaces import MAIN, Netns, fresh_namespace, host_state, namespace

pytestmark = pytest.mark.kernel


def test_the_thread_is_elsewhere_inside_and_back_afterwards() -> None:
    with fresh_namespace() as outer:
        first = namespace()
        with fresh_namespace():
            second = namespace()
        assert namespace() == first
        assert outer.run("ip", "-oneline", "link").count("\n") == 1

    assert len({MAIN, first, second}) == 3
    assert namespace() == MAIN


def test_the_thread_comes_back_when_a_test_fails() -> None:
    with pytest.raises(ZeroDivisionError), fresh_namespace():
        _ = 1 / 0

    assert namespace() == MAIN


def test_no_command_of_a_test_is_run_in_the_hosts_namespace() -> None:
    with pytest.raises(AssertionError, match="refusing"):
        Netns().run("true")


@pytest.mark.parametrize(
    "command",
    [
        ("nft", "add table ip x"),
        ("ip", "address", "add", "10.0.0.1/32", "dev", "lo"),
        ("ip", "address", "add", "2001:db8::1/128", "dev", "lo"),
        ("ip", "route", "add", "blackhole", "10.0.0.0/8"),
        ("ip", "-6", "route", "add", "blackhole", "2001:db8::/32", "table", "7"),
    ],
    ids=" ".join,
)
def test_a_change_of_the_host_would_be_noticed(netns: Netns, command: tuple[str, ...]) -> None:
    before = host_state()
    assert host_state() == before

    netns.run(*command)

    assert host_state() != before

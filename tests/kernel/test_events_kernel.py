"""Announcements of the real kernel, where the contract with the fake ends."""

from __future__ import annotations

import os
import select
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from portguard.errors import ObserveError
from portguard.kernel import events
from portguard.kernel.events import NftEvents, RouteEvents
from portguard.kernel.nft import Nft
from portguard.model.ruleset import TableKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns
    from portguard.model.ruleset import RulesetChange

pytestmark = pytest.mark.kernel

FOREIGN = TableKey("ip", "foreign")
MANY = ["add table ip foreign", "add chain ip foreign c", *["add rule ip foreign c accept"] * 2000]


@pytest.fixture
def firewall(netns: Netns) -> Iterator[Nft]:  # noqa: ARG001 - the namespace it is opened in
    with closing(Nft()) as opened:
        yield opened


@pytest.fixture
def heard(firewall: Nft) -> Iterator[NftEvents]:
    with closing(NftEvents(firewall)) as opened:
        yield opened


def only(heard: NftEvents) -> RulesetChange:
    (change,) = heard.read().changes
    return change


def test_a_one_shot_nft_is_named_though_it_is_gone(netns: Netns, heard: NftEvents) -> None:
    netns.nft("add table ip foreign")

    change = only(heard)

    assert change.tables == {FOREIGN}
    assert (change.own, change.actor.comm) == (False, "nft")
    assert change.actor.pid
    assert (change.actor.parent, change.actor.unit) == (None, None)


def test_a_writer_that_still_runs_is_named_with_its_parent(netns: Netns, heard: NftEvents) -> None:  # noqa: ARG001
    with subprocess.Popen(
        # Not "exec"ed by the shell, because that has to wait for it.
        ["sh", "-c", "nft -i; true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as shell:
        assert shell.stdin is not None
        shell.stdin.write("add table ip foreign\n")
        shell.stdin.flush()
        assert select.select([heard.fileno()], [], [], 10)[0]

        actor = only(heard).actor

        shell.stdin.close()
        shell.wait(timeout=10)

    assert (actor.comm, actor.parent) == ("nft", "sh")


def test_a_flush_names_every_table(netns: Netns, heard: NftEvents) -> None:
    netns.nft(
        "add table ip foreign", "add chain ip foreign c", "add table inet portguard", "add table bridge b"
    )
    heard.read()
    netns.nft("flush ruleset")

    assert only(heard).tables == {FOREIGN, TableKey("inet", "portguard"), TableKey("bridge", "b")}


def test_thousands_of_messages_are_one_change_and_none_is_lost(netns: Netns, heard: NftEvents) -> None:
    netns.nft(*MANY)
    netns.nft("delete table ip foreign")

    seen = heard.read()

    assert [change.tables for change in seen.changes] == [{FOREIGN}, {FOREIGN}]
    assert not seen.lost


def test_an_overrun_is_told_once_and_the_socket_stays_of_use(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_RULESET_BUFFER", 32 << 10)
    with closing(NftEvents(firewall)) as heard:
        netns.nft(*MANY)
        assert heard.read().lost

        netns.nft("add table inet portguard")
        after = heard.read()

    assert not after.lost
    assert [change.tables for change in after.changes] == [{TableKey("inet", "portguard")}]


def test_a_skipped_generation_is_a_loss(
    netns: Netns, heard: NftEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second witness beside the kernel's overrun: the announcements of one commit never arrive."""
    netns.nft("add table ip foreign")
    assert not heard.read().lost
    netns.nft("add chain ip foreign c")
    with monkeypatch.context() as patch:
        patch.setattr(heard, "_take", lambda _message: None)
        assert heard.read().changes == ()

    netns.nft("add table inet portguard")

    assert heard.read().lost


def test_a_read_ends_even_when_there_is_always_more(
    netns: Netns, heard: NftEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_AT_ONCE", 2)
    for number in range(3):
        netns.nft(f"add table ip t{number}")

    first, second, third = (len(heard.read().changes) for _ in range(3))

    assert (first, second, third) == (1, 1, 1)


@pytest.mark.parametrize(
    "command",
    [
        ("ip", "address", "add", "10.28.32.5/26", "dev", "lo"),
        ("ip", "address", "add", "2001:db8::1/64", "dev", "lo"),
        ("ip", "route", "add", "blackhole", "10.28.32.0/26"),
        ("ip", "-6", "route", "add", "blackhole", "2001:db8::/64"),
        ("ip", "link", "add", "one", "type", "veth", "peer", "name", "two"),
        ("ip", "neighbour", "add", "10.28.32.9", "lladdr", "02:00:00:00:00:01", "dev", "lo"),
    ],
    ids=" ".join,
)
def test_every_kind_of_link_change_is_announced(netns: Netns, command: tuple[str, ...]) -> None:
    with closing(RouteEvents()) as heard:
        netns.run(*command)

        assert heard.drain()
        assert not heard.drain()


def test_an_overrun_of_link_changes_is_a_change(netns: Netns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LINK_BUFFER", 1)
    with closing(RouteEvents()) as heard:
        batch = "".join(f"address add 10.1.{n // 250}.{n % 250}/32 dev lo\n" for n in range(500))
        netns.run("ip", "-batch", "-", stdin=batch)

        assert heard.drain()
        assert not heard.drain()


def test_hearing_of_changes_takes_a_right(netns: Netns, firewall: Nft) -> None:  # noqa: ARG001 - opened in it
    os.seteuid(65534)
    try:
        with pytest.raises(ObserveError, match="cannot hear of ruleset changes: Operation not permitted"):
            NftEvents(firewall)
    finally:
        os.seteuid(0)

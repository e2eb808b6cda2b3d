"""The knobs of the fake kernel; what it shares with the real one is in ``tests/contract``."""

from __future__ import annotations

import select
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from portguard.errors import NftError, ObserveError
from portguard.kernel.fake import FakeClock, FakeKernel
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.ruleset import Actor, Chain, Set, TableKey
from portguard.model.snapshot import Gap, Interface, Links, Neighbour, Route, Scope
from portguard.model.transaction import ChainOp, RuleOp, SetOp, TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.kernel.world import World

KEY = TableKey("inet", "portguard")
TABLE = Transaction(operations=(TableOp(verb=Verb.ADD, table=KEY),))
OTHER = Transaction(operations=(TableOp(verb=Verb.ADD, table=TableKey("ip", "filter")),))


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
def world(kernel: FakeKernel) -> Iterator[World]:
    with closing(kernel.world()) as opened:
        yield opened


def test_time_passes_when_it_is_told_to() -> None:
    clock = FakeClock()
    clock.advance(90)

    assert clock.monotonic() == 90
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)


def test_one_commit_fails_and_the_next_one_is_taken(kernel: FakeKernel, world: World) -> None:
    kernel.fail_next_commit = NftError("no", not_permitted=True)

    with pytest.raises(NftError, match="no"):
        world.firewall.commit(TABLE)
    assert kernel.commits == []
    assert kernel.ruleset.tables == {}

    world.firewall.commit(TABLE)
    assert kernel.commits == [TABLE]


def test_the_knob_for_commits_does_not_touch_those_of_others(kernel: FakeKernel) -> None:
    kernel.fail_next_commit = NftError("no")
    kernel.foreign(TABLE)

    assert KEY in kernel.ruleset.tables


def test_somebody_can_be_faster_once(kernel: FakeKernel, world: World) -> None:
    kernel.before_commit = lambda: kernel.foreign(OTHER)
    world.firewall.commit(TABLE)

    assert [change.own for change in world.ruleset_events.read().changes] == [False, True]
    assert kernel.before_commit is None


@pytest.mark.parametrize("scope", [Scope.RULESET, Scope.LISTENERS, Scope.ADDRESSES])
def test_a_part_of_the_world_cannot_be_read_while_its_knob_is_set(
    kernel: FakeKernel, world: World, scope: Scope
) -> None:
    reads = {
        Scope.RULESET: world.firewall.read,
        Scope.LISTENERS: world.sockets.listeners,
        Scope.ADDRESSES: world.links.read,
    }
    kernel.fail_reads[scope] = "disk on fire"
    for part, read in reads.items():
        if part is scope:
            with pytest.raises(ObserveError, match="disk on fire"):
                read()
        else:
            read()

    del kernel.fail_reads[scope]
    reads[scope]()


def test_an_unreadable_table_is_named_and_does_not_look_absent(kernel: FakeKernel, world: World) -> None:
    kernel.foreign(TABLE)
    kernel.foreign(OTHER)
    kernel.unreadable[KEY] = "garbage"
    kernel.unreadable[TableKey("ip", "nat")] = "is not there"

    ruleset = world.firewall.read()

    assert list(ruleset.tables) == [TableKey("ip", "filter")]
    assert ruleset.unreadable == {KEY: "garbage"}
    with pytest.raises(ObserveError, match="table inet portguard: garbage"):
        world.firewall.read_table(KEY)


def test_lost_events_are_told_once(kernel: FakeKernel, world: World) -> None:
    kernel.foreign(TABLE)
    kernel.lose_events()

    first, second = world.ruleset_events.read(), world.ruleset_events.read()

    assert (first.changes, first.lost) == ((), True)
    assert not second.lost


def test_a_foreign_change_carries_the_actor_that_the_test_names(kernel: FakeKernel, world: World) -> None:
    actor = Actor(comm="ansible", pid=7, loginuid=1000)
    kernel.foreign(TABLE, actor=actor)
    kernel.flush(actor=actor)

    changes = world.ruleset_events.read().changes

    assert [change.actor for change in changes] == [actor, actor]
    assert kernel.ruleset.tables == {}


def test_a_descriptor_asked_for_late_is_readable_if_something_waits(kernel: FakeKernel, world: World) -> None:
    kernel.foreign(TABLE)
    descriptor = world.ruleset_events.fileno()
    assert select.select([descriptor], [], [], 0)[0]

    world.ruleset_events.read()
    assert not select.select([descriptor], [], [], 0)[0]

    kernel.foreign(OTHER)
    kernel.lose_events()
    assert select.select([descriptor], [], [], 0)[0]


def test_owner_gaps_are_what_the_test_sets(kernel: FakeKernel, world: World) -> None:
    gap = Gap(scope=Scope.OWNERS, reason="hidden")
    kernel.owner_gaps = (gap,)

    assert world.sockets.owner_gaps() == (gap,)


def test_the_whole_world_is_one_text(kernel: FakeKernel) -> None:
    chain = Chain(name="input", type="filter", hook="input", priority=0, policy="accept")
    printers = Set(name="printers", type=("ipv4_addr",), flags=("interval",), elements=("10.2.0.1",))
    kernel.foreign(
        Transaction(
            operations=(
                *TABLE.operations,
                ChainOp(verb=Verb.ADD, table=KEY, chain=chain),
                SetOp(verb=Verb.ADD, table=KEY, set=printers),
                RuleOp(verb=Verb.ADD, table=KEY, chain="input", expr=({"accept": None},), comment="x"),
            )
        )
    )
    kernel.listen(
        Transport.TCP, "127.0.0.1", 6379, owner=Owner(unit="redis-server.service", process="redis-server")
    )
    kernel.listen(Transport.TCP, "::", 8001, v6only=False)
    kernel.links = Links(
        interfaces=(Interface(index=1, name="lo", up=True, addresses=((ip_address("127.0.0.1"), 8),)),),
        routes=(Route(network=ip_network("0.0.0.0/0"), interface=1, gateway=ip_address("10.0.0.1")),),
        neighbours=(Neighbour(address=ip_address("10.0.0.9"), interface=1),),
    )

    assert (
        str(kernel)
        == """\
generation 2
add table inet portguard
add set inet portguard printers { type ipv4_addr; flags interval; elements = { 10.2.0.1 }; }
add chain inet portguard input { type filter hook input priority 0; policy accept; }
add rule inet portguard input accept comment "x" # handle 3
listener 127.0.0.1:6379/tcp redis-server.service redis-server
listener [::]:8001/tcp dual-stack
interface 1 lo up 127.0.0.1/8
route 0.0.0.0/0 via 10.0.0.1 interface 1 table 254
neighbour 10.0.0.9 interface 1 unanswered
"""
    )

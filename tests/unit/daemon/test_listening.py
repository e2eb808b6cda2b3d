"""A pass for what is announced: at once, at no great cost, and nothing that was announced here is forgotten."""

from __future__ import annotations

import selectors
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from portguard.daemon.listening import ListenWatch
from portguard.daemon.observer import Observer
from portguard.kernel.fake import FakeKernel
from portguard.kernel.world import Opened
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.listener import Listener

REDIS = Owner(process="redis-server", pid=77, exe="/usr/bin/redis-server")


class Scene:
    """A watch over the fake kernel, and the loop's part of the work."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.kernel.listen_events.set_up()
        self.world = self.kernel.world()
        self.observer = Observer(self.world, legacy=tuple)
        self.watch = ListenWatch(self.world.listen_events, self.observer, self.world.clock)
        self.selector = selectors.DefaultSelector()
        self.watch.attach(self.selector)
        self.observer.snapshot()

    def cycle(self, *, after: float = 0.0) -> bool:
        """Do what the loop does in one turn; says whether there is something to look at."""
        self.kernel.clock.advance(after)
        for key, _ in self.selector.select(0):
            key.data()
        return self.watch.due(self.kernel.clock.monotonic())

    def announce(self, port: int, *, ours: bool | None = True, at: float | None = None) -> None:
        """Announce a listener that is not there."""
        self.kernel.listen_events.announce(
            Opened(
                transport=Transport.TCP,
                address=ip_address("0.0.0.0"),
                port=port,
                at=self.kernel.clock.monotonic() if at is None else at,
                ours=ours,
                owner=REDIS,
            )
        )

    def listening(self) -> list[int]:
        """Ports of the listeners of a look, with those that were gone at once."""
        snapshot = self.observer.snapshot().with_brief()
        return [row.port for row in snapshot.listeners or ()]

    def brief(self) -> tuple[Listener, ...]:
        return self.observer.snapshot().brief


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.selector.close()
    made.world.close()


def test_a_listener_is_seen_in_the_turn_in_which_it_is_announced(scene: Scene) -> None:
    scene.kernel.listen(Transport.TCP, "0.0.0.0", 6390)

    assert scene.cycle()
    assert scene.listening() == [6390]
    assert scene.watch.due_at is None


def test_one_that_ceases_to_listen_is_seen_too(scene: Scene) -> None:
    listener = scene.kernel.listen(Transport.TCP, "0.0.0.0", 6390)
    scene.cycle()
    scene.kernel.close(listener)

    assert not scene.cycle(after=1.0)
    assert scene.cycle(after=0.002)
    assert scene.listening() == []


def test_a_socket_that_is_bound_and_then_listens_is_one_pass(scene: Scene) -> None:
    """A pass for the first of the two announcements would put the second off until it has rested."""
    scene.kernel.listen_events.announce()
    assert not scene.cycle()
    assert scene.watch.due_at is not None
    scene.kernel.listen(Transport.TCP, "0.0.0.0", 6390)

    assert scene.cycle(after=0.0001)
    assert scene.listening() == [6390]
    assert scene.watch.due_at is None


def test_what_came_until_the_pass_is_answered_by_it_alone(scene: Scene) -> None:
    scene.kernel.listen_events.announce()
    scene.cycle(after=0.0)
    scene.kernel.listen_events.announce()
    scene.cycle(after=0.001)
    scene.kernel.listen_events.announce()
    scene.cycle(after=0.001)

    assert scene.watch.due_at is None


def test_what_changed_nothing_here_is_nothing_to_look_at(scene: Scene) -> None:
    scene.announce(6390, ours=False)

    assert not scene.cycle()
    assert scene.watch.due_at is None


def test_what_is_gone_at_once_is_shown_once_with_its_process(scene: Scene) -> None:
    scene.announce(6390)
    assert not scene.cycle(), "it may just not have appeared yet"
    assert scene.cycle(after=0.02)

    (shown,) = scene.brief()
    assert (shown.port, shown.owner) == (6390, REDIS)
    assert shown.cookie < 0
    assert scene.listening() == [6390]
    assert scene.cycle(after=0.02), "that it is over is to be told"
    assert scene.brief() == ()
    assert not scene.cycle(after=1.0)
    assert scene.watch.due_at is None


def test_what_is_gone_at_once_is_recognised_for_what_it_was(scene: Scene) -> None:
    scene.announce(6390)
    scene.cycle()
    scene.cycle(after=0.02)
    (shown,) = scene.brief()

    assert scene.observer.sensitive()[shown.cookie].application == "redis"


def test_it_stays_until_somebody_has_looked(scene: Scene) -> None:
    scene.announce(6390)
    scene.cycle()
    scene.cycle(after=0.02)
    for _ in range(5):
        assert not scene.cycle(after=0.02)

    assert len(scene.brief()) == 1


def test_what_appears_late_is_an_ordinary_listener(scene: Scene) -> None:
    scene.announce(6390)
    scene.cycle()
    scene.kernel.listen(Transport.TCP, "0.0.0.0", 6390)

    assert scene.cycle(after=0.01)
    assert scene.brief() == ()
    assert scene.listening() == [6390]


@pytest.mark.parametrize("ours", [False, None])
def test_of_what_may_belong_to_another_namespace_nothing_is_claimed(scene: Scene, ours: bool | None) -> None:
    scene.announce(6390, ours=ours)
    scene.cycle()

    assert not scene.cycle(after=1.0)
    assert scene.brief() == ()


def test_what_could_not_be_listed_is_not_called_gone(scene: Scene) -> None:
    scene.kernel.fail_reads[Scope.LISTENERS] = "no"
    scene.announce(6390)
    scene.cycle(after=1.0)

    assert scene.brief() == ()


def test_lost_announcements_are_a_reason_to_look_at_everything(scene: Scene) -> None:
    scene.kernel.listen_events.lose()
    scene.cycle()

    assert scene.watch.lost
    scene.watch.checked()
    assert not scene.watch.lost


def test_a_storm_wakes_the_daemon_a_hundred_times_a_second_at_most(scene: Scene) -> None:
    passes = 0
    for _ in range(1000):
        scene.kernel.listen_events.announce()
        before = scene.watch.due_at
        scene.cycle(after=0.001)
        passes += before is not None and scene.watch.due_at is None

    assert 50 < passes <= 101


def test_between_two_passes_of_a_storm_nothing_wakes_it(scene: Scene) -> None:
    scene.kernel.listen_events.announce()
    scene.cycle()
    scene.kernel.listen_events.announce()
    scene.cycle(after=0.001)
    scene.kernel.listen_events.announce()

    assert scene.selector.select(0) == []
    assert scene.watch.due_at is not None
    scene.cycle(after=0.02)
    assert len(scene.selector.get_map()) == 1


def test_what_is_switched_off_is_waited_for_no_longer(scene: Scene) -> None:
    scene.kernel.listen_events.switch_off("somebody switched it off")
    scene.watch.checked()

    assert len(scene.selector.get_map()) == 0
    assert not scene.cycle(after=1.0)

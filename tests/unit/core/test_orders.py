"""Orders as transcripts, over the fake kernel: what a person asks, what the kernel holds, what is told."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
import sites

from portguard.core import deadman
from portguard.core.closing import armed_for, disarm
from portguard.core.exchange import (
    Command,
    Confirmed,
    Event,
    HealDone,
    HealRefused,
    Keep,
    Moment,
    Ordered,
    OwnTableSeen,
    Paused,
    PolicyLoaded,
    Reply,
    Resumed,
    RolledBack,
    Run,
    Standing,
    State,
    Tell,
    WorldSeen,
)
from portguard.core.order_report import order_json
from portguard.core.reconcile import step
from portguard.core.render import OWN_TABLE
from portguard.errors import NftError
from portguard.kernel.fake import FakeKernel
from portguard.model.containment import OrderState
from portguard.model.exposure import Application, Exposure
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.policy import Mode
from portguard.model.snapshot import Connection, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portguard.model.policy import Policy

REDIS: Mapping[int, Exposure] = {6390: Exposure(application=Application.REDIS)}
FOREVER = float("inf")


class Play:
    """The daemon's mind over a kernel in memory. Time passes only when told."""

    def __init__(
        self, policy: Policy, standing: Standing | None = None, kernel: FakeKernel | None = None
    ) -> None:
        self.kernel = kernel or FakeKernel()
        self.world = self.kernel.world()
        self.state = State(standing=standing or Standing())
        self.told: list[str] = []
        self.kept = 0
        self.replies: list[Reply] = []
        self.ports = [22, 8001, 6390]
        self.blind = False
        self.send(PolicyLoaded(at=self.at, policy=policy))

    @property
    def at(self) -> Moment:
        return Moment(monotonic=self.kernel.clock.monotonic(), when=self.kernel.clock.now())

    def send(self, event: Event) -> list[Command]:
        self.state, commands = step(self.state, event)
        for command in commands:
            match command:
                case Run(heal=heal):
                    try:
                        self.kernel.own(heal.transaction)
                    except NftError as error:
                        self.send(HealRefused(at=self.at, heal=heal, message=str(error)))
                    else:
                        self.send(HealDone(at=self.at, heal=heal))
                case Tell(alerts=alerts):
                    self.told += [
                        row.finding.message for row in alerts if row.finding.kind.value == "mode_changed"
                    ]
                case Keep():
                    self.kept += 1
                case Reply():
                    self.replies.append(command)
                case _:
                    pass
        return list(commands)

    def snapshot(self) -> Snapshot:
        listeners = tuple(sites.listener(port, "::", v6only=False) for port in self.ports)
        seen = sites.snapshot(self.kernel.ruleset, listeners)
        return replace(seen, ruleset=None, listeners=None) if self.blind else seen

    def look(self, after: float = 0.0, times: int = 3) -> None:
        """Let time pass, and look until all that follows is done."""
        self.kernel.clock.advance(after)
        for _ in range(times):
            self.send(WorldSeen(at=self.at, snapshot=self.snapshot(), sensitive=REDIS, quiet=60.0))

    def ask(self, event: Event) -> Reply:
        self.replies.clear()
        self.send(event)
        (reply,) = self.replies  # every request is answered, once
        return reply

    def order(self, mode: Mode = Mode.CONTAIN, within: float = 60.0, *own: Connection) -> Reply:
        return self.ask(
            Ordered(
                at=self.at,
                mode=mode,
                confirm_within=within,
                snapshot=self.snapshot(),
                sensitive=REDIS,
                own=own,
            )
        )

    def armed(self) -> Play:
        """Order contain, and let it come to the arming."""
        assert self.order().ok
        self.look()
        self.look(deadman.PRIME)
        assert self.left() in range(56, 61), "at once, where connections were tracked already"
        return self

    def confirmed(self) -> Play:
        self.armed()
        assert self.ask(Confirmed(at=self.at)).ok
        assert self.left() == FOREVER
        return self

    def left(self) -> float | None:
        """Seconds that the dead man runs, as the kernel says."""
        return armed_for(self.kernel.ruleset.tables.get(OWN_TABLE))

    def mode(self) -> Mode:
        assert self.state.policy is not None
        return self.state.policy.mode

    @property
    def closes(self) -> bool:
        """Whether the closing rules stand in the kernel, armed or not."""
        return "contain" in self.kernel.ruleset.tables[OWN_TABLE].chains


@pytest.fixture
def play() -> Iterator[Play]:
    made = Play(sites.policy())
    with closing(made.world):
        made.look()
        yield made


def test_contain_is_entered_armed_after_connections_were_tracked_for_a_while() -> None:
    made = Play(sites.policy(mode=Mode.OBSERVE))
    reply = made.order()
    assert reply.ok
    assert "closes 6390/tcp (redis) to everyone" in reply.details
    made.look()
    assert made.closes
    assert made.left() is None, "not before connections are tracked"
    made.look(deadman.PRIME - 0.5)
    assert made.left() is None
    made.look(0.5)

    assert made.left() == 60
    assert made.mode() is Mode.CONTAIN
    assert any("is armed for 60 s: 6390/tcp (redis) closed" in text for text in made.told)
    made.world.close()


def test_confirmed_it_is_for_good(play: Play) -> None:
    play.confirmed()
    play.look(1000.0)

    assert play.left() == FOREVER
    assert play.mode() is Mode.CONTAIN
    assert play.told[-1] == "mode contain is confirmed"


def test_unconfirmed_it_ends_by_itself_and_leaves_nothing_behind(play: Play) -> None:
    play.armed()
    play.look(59.0)
    assert play.left() is not None
    play.look(3.0)

    assert play.left() is None
    assert not play.closes
    assert play.mode() is Mode.HEAL
    assert "nobody confirmed it in time" in play.told[-1]
    assert not play.ask(Confirmed(at=play.at)).ok


def test_before_it_is_armed_there_is_nothing_to_confirm(play: Play) -> None:
    assert not play.ask(Confirmed(at=play.at)).ok
    play.order()

    assert "not armed yet" in play.ask(Confirmed(at=play.at)).text


def test_a_confirmation_after_the_kernels_time_is_refused_by_the_kernel_itself(play: Play) -> None:
    play.armed()
    play.kernel.clock.advance(60.5)  # the daemon has not looked since
    reply = play.ask(Confirmed(at=play.at))

    assert not reply.ok
    assert "too late" in reply.text
    assert play.left() is None
    assert play.mode() is Mode.HEAL


@pytest.mark.parametrize("announced", [True, False])
def test_a_flush_while_unconfirmed_is_never_healed_into_an_armed_table(
    play: Play, *, announced: bool
) -> None:
    play.armed()
    play.kernel.flush()
    if announced:
        (change,) = [row for row in play.world.ruleset_events.read().changes if not row.own][-1:]
        play.send(OwnTableSeen(at=play.at, table=None, change=change))
        assert play.left() is None
    play.look(0.1)

    assert play.left() is None
    assert play.mode() is Mode.HEAL
    assert not play.closes


def test_a_dead_man_that_somebody_stops_stays_stopped_until_it_was_confirmed(play: Play) -> None:
    play.armed()
    play.kernel.foreign(disarm(OWN_TABLE))
    play.look(0.1)
    assert play.left() is None
    assert play.mode() is Mode.HEAL

    play.confirmed()
    play.kernel.foreign(disarm(OWN_TABLE))
    play.look(0.1)
    assert play.left() == FOREVER, "confirmed, it is drift like any other"


def test_rollback_opens_at_once(play: Play) -> None:
    play.confirmed()
    assert play.ask(RolledBack(at=play.at)).ok
    assert play.left() is None, "at once, not after a look"
    play.look()

    assert play.mode() is Mode.HEAL
    assert not play.closes
    assert not play.ask(RolledBack(at=play.at)).ok


def test_leaving_by_another_order_opens_at_once_too(play: Play) -> None:
    play.confirmed()
    assert play.order(Mode.OBSERVE).ok

    assert play.left() is None
    assert play.mode() is Mode.OBSERVE
    assert play.ask(RolledBack(at=play.at)).ok
    assert play.mode() is Mode.HEAL, "never back into a mode that closes without its dead man"


def test_a_second_order_starts_the_time_anew_and_remembers_the_way_back(play: Play) -> None:
    play.armed()
    play.look(40.0)
    assert play.order(within=90).ok
    play.look()
    assert play.left() == 90
    play.look(92.0)

    assert play.mode() is Mode.HEAL


def test_confirmed_already_it_is_not_put_at_risk_again(play: Play) -> None:
    play.confirmed()
    reply = play.order()

    assert reply.ok
    assert "confirmed already" in reply.text
    assert any("6390/tcp" in line for line in reply.details)
    assert play.left() == FOREVER
    assert play.ask(Confirmed(at=play.at)).ok
    assert play.left() == FOREVER


class TestRefusals:
    """Nothing is closed, and every reason is said."""

    def test_the_way_in_of_whoever_asks(self, play: Play) -> None:
        way = Connection(
            peer=ip_address("10.28.32.5"), peer_port=1, local=ip_address("10.1.0.1"), local_port=2222,
            transport=Transport.TCP, state="established", owner=Owner(),
        )  # fmt: skip
        reply = play.order(Mode.CONTAIN, 60.0, way)

        assert not reply.ok
        assert "your own connection would be cut" in reply.text
        (line,) = reply.details
        assert "10.28.32.5 to 10.1.0.1 port 2222" in line
        assert "reserved_in" in line
        play.look(10.0)
        assert play.mode() is Mode.HEAL
        assert play.left() is None

    def test_of_others_it_is_a_warning(self, play: Play) -> None:
        way = Connection(
            peer=ip_address("10.28.32.5"), peer_port=1, local=ip_address("10.1.0.1"), local_port=2222,
            transport=Transport.TCP, state="established", owner=Owner(),
        )  # fmt: skip
        reply = play.ask(
            Ordered(
                at=play.at,
                mode=Mode.CONTAIN,
                confirm_within=60,
                snapshot=play.snapshot(),
                sensitive=REDIS,
                others=(way,),
            )
        )

        assert reply.ok
        assert any(line.startswith("warning: the connection from 10.28.32.5") for line in reply.details)

    def test_zones_that_are_not_defined(self) -> None:
        made = Play(sites.policy(zones={"admins": sites.ZONES["admins"]}))
        reply = made.order()

        assert not reply.ok
        assert any(line.startswith("zones.printers must be defined") for line in reply.details)
        made.world.close()

    def test_what_cannot_be_seen(self, play: Play) -> None:
        play.blind = True

        assert {"the ruleset could not be read", "the listeners could not be read"} <= set(
            play.order().details
        )

    def test_enforce(self, play: Play) -> None:
        assert "not available" in play.order(Mode.ENFORCE).text

    def test_a_pause(self, play: Play) -> None:
        play.ask(Paused(at=play.at, seconds=60, reason="x"))

        assert "resume first" in play.order().text

    def test_before_there_is_a_policy(self) -> None:
        kernel = FakeKernel()
        moment = Moment(monotonic=0.0, when=kernel.clock.now())
        _, (reply,) = step(State(), RolledBack(at=moment))

        assert isinstance(reply, Reply)
        assert not reply.ok


class TestConfiguration:
    """``mode = "contain"`` in a file: it waits for one word, once."""

    @pytest.fixture
    def made(self) -> Iterator[Play]:
        play = Play(sites.policy(mode=Mode.CONTAIN, confirm_within=30.0))
        with closing(play.world):
            play.look()
            play.look(deadman.PRIME)
            yield play

    def test_it_is_armed_and_waits(self, made: Play) -> None:
        assert made.left() == 30
        assert made.ask(Confirmed(at=made.at)).ok

    def test_nobody_answers_and_it_heals_with_a_finding(self, made: Play) -> None:
        made.look(32.0)

        assert made.mode() is Mode.HEAL
        assert made.left() is None
        findings = [entry.finding.message for entry in made.state.book.firing()]
        assert any("asks for mode contain, which is not confirmed" in text for text in findings)
        made.look(100.0)
        assert made.left() is None, "it is not tried again by itself"

    def test_what_was_not_confirmed_is_not_tried_again_after_a_restart(self, made: Play) -> None:
        made.look(32.0)
        again = Play(
            sites.policy(mode=Mode.CONTAIN), replace(made.state.standing, recalled=True), made.kernel
        )
        again.look(10.0)

        assert again.mode() is Mode.HEAL
        assert again.left() is None
        assert again.order().ok, "an order is another matter"

    def test_confirmed_once_it_is_in_force_after_a_restart_without_a_gap(self, made: Play) -> None:
        made.ask(Confirmed(at=made.at))
        before = made.kernel.ruleset
        again = Play(
            sites.policy(mode=Mode.CONTAIN), replace(made.state.standing, recalled=True), made.kernel
        )
        assert again.kernel.ruleset == before, "nothing is written before the first look"
        again.look()

        assert again.kernel.ruleset == before, "and nothing after it"
        assert again.mode() is Mode.CONTAIN

    @pytest.mark.parametrize("changes", [{"roles": ("printum/portal",)}, {"mode": Mode.HEAL}])
    def test_another_role_or_mode_ends_what_was_confirmed(
        self, made: Play, changes: dict[str, object]
    ) -> None:
        made.ask(Confirmed(at=made.at))
        made.send(PolicyLoaded(at=made.at, policy=sites.policy(**{"mode": Mode.CONTAIN, **changes})))
        made.look()

        assert made.left() != FOREVER
        assert made.state.standing.order is None or made.state.standing.order.state is OrderState.WAITING

    def test_a_configuration_that_only_observes_opens_at_once(self, made: Play) -> None:
        made.ask(Confirmed(at=made.at))
        made.send(PolicyLoaded(at=made.at, policy=sites.policy(mode=Mode.OBSERVE)))

        assert made.left() is None

    def test_what_a_former_process_closed_is_opened_by_one_that_observes(self, made: Play) -> None:
        made.ask(Confirmed(at=made.at))
        again = Play(sites.policy(mode=Mode.OBSERVE), Standing(), made.kernel)
        assert again.left() == FOREVER
        again.look()

        assert again.left() is None

    def test_a_reload_that_changes_something_else_keeps_the_order_and_the_running_time(
        self, made: Play
    ) -> None:
        made.look(10.0)
        made.send(PolicyLoaded(at=made.at, policy=sites.policy(mode=Mode.CONTAIN, listener_grace=5.0)))
        made.look()

        assert made.left() == 20
        assert made.ask(Confirmed(at=made.at)).ok


class TestRestart:
    """The kernel is asked, never the file."""

    def again(self, play: Play) -> Play:
        return Play(
            sites.policy(),
            replace(play.state.standing, recalled=True, disarms_at=None, closing=None),
            play.kernel,
        )

    def test_a_running_dead_man_is_taken_over_and_not_prolonged(self, play: Play) -> None:
        play.armed()
        play.kernel.clock.advance(20.0)
        again = self.again(play)
        again.look()
        assert again.left() == 40
        again.look(38.0)
        assert again.left() == 2
        assert again.ask(Confirmed(at=again.at)).ok

    def test_one_that_has_ended_stays_ended(self, play: Play) -> None:
        play.armed()
        play.kernel.clock.advance(61.0)
        again = self.again(play)
        again.look(deadman.PRIME + 1)

        assert again.left() is None
        assert again.mode() is Mode.HEAL

    def test_after_a_reboot_it_is_not_armed(self, play: Play) -> None:
        play.armed()
        again = Play(
            sites.policy(), replace(play.state.standing, recalled=True, disarms_at=None, closing=None)
        )
        again.look()
        again.look(deadman.PRIME + 1)

        assert again.left() is None
        assert again.mode() is Mode.HEAL
        again.world.close()

    def test_one_that_died_between_confirming_and_writing_it_down_is_believed_by_the_kernel(
        self, play: Play
    ) -> None:
        waiting = play.armed().state.standing
        play.ask(Confirmed(at=play.at))
        again = Play(
            sites.policy(), replace(waiting, recalled=True, disarms_at=None, closing=None), play.kernel
        )
        again.look()

        assert again.left() == FOREVER
        assert again.state.standing.order is not None
        assert again.state.standing.order.state is OrderState.CONFIRMED
        assert again.kept


class TestPauses:
    """Nothing is written, and that ends by itself."""

    def test_nothing_is_healed_in_a_pause_and_everything_after_it(self, play: Play) -> None:
        assert play.ask(Paused(at=play.at, seconds=600, reason="new rules")).ok
        play.kernel.flush()
        play.look(300.0)
        assert OWN_TABLE not in play.kernel.ruleset.tables
        play.look(301.0)

        assert OWN_TABLE in play.kernel.ruleset.tables
        assert "the pause is over" in play.told[-1]

    def test_it_is_ended_by_order(self, play: Play) -> None:
        play.ask(Paused(at=play.at, seconds=600, reason="x"))
        play.kernel.flush()
        assert play.ask(Resumed(at=play.at)).ok
        play.look()

        assert OWN_TABLE in play.kernel.ruleset.tables
        assert play.ask(Resumed(at=play.at)).ok, "there is no harm in asking twice"

    def test_a_dead_man_runs_on_in_a_pause_and_can_be_confirmed_or_rolled_back(self, play: Play) -> None:
        play.armed()
        play.ask(Paused(at=play.at, seconds=600, reason="x"))
        play.look(61.0)
        assert play.left() is None
        assert play.mode() is Mode.HEAL
        play.ask(Resumed(at=play.at))
        play.confirmed()
        play.ask(Paused(at=play.at, seconds=600, reason="x"))
        assert play.ask(RolledBack(at=play.at)).ok
        assert play.left() is None


class TestStatus:
    """What ``status`` says of it."""

    def test_it_says_what_is_closed_for_how_long_and_why_nothing_is_written(self, play: Play) -> None:
        play.armed()
        play.look(10.0)
        play.ask(Paused(at=play.at, seconds=600, reason="new rules"))
        found = order_json(play.state, play.at.monotonic)

        assert found is not None
        assert found["configured"] == "heal"
        assert (found["ordered"], found["state"], found["armed"]) == ("contain", "waiting", True)
        assert found["disarms_in"] == 50.0
        assert found["closes"] == [
            {"transport": "tcp", "port": 6390, "application": "redis", "zones": [], "allowed": []}
        ]
        assert found["pause"]["reason"] == "new rules"

    def test_without_an_order_it_says_so(self, play: Play) -> None:
        assert order_json(State(), 0.0) is None
        assert order_json(play.state, 0.0) == {
            "configured": "heal", "ordered": None, "state": None, "armed": False, "disarms_in": None, "closes": [],
            "spares": [], "pause": None,
        }  # fmt: skip


def test_an_alarm_that_ends_because_the_port_was_closed_says_so(play: Play) -> None:
    alerts: list[str] = []
    play.armed()
    for command in play.send(WorldSeen(at=play.at, snapshot=play.snapshot(), sensitive=REDIS, quiet=60.0)):
        if isinstance(command, Tell):
            alerts += [row.finding.message for row in command.alerts]
    assert not any("6390" in entry.finding.message for entry in play.state.book.firing())


def test_a_new_exposure_is_closed_at_the_next_look_and_told(play: Play) -> None:
    play.ports = [22, 8001]
    play.confirmed()
    play.ports = [22, 8001, 6390]
    play.look(0.1)
    table = play.kernel.ruleset.tables[OWN_TABLE]

    assert any("6390" in str(rule.expr) for rule in table.rules_of("contain"))
    assert any("6390/tcp (redis) is closed to everyone" in row.what for row in play.state.records)
    before = table.chains["contain"].handle
    assert play.kernel.ruleset.tables[OWN_TABLE].chains["contain"].handle == before, "mended, not replaced"

"""The daemon's mind, as a transcript: what happens, and what it asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sites

from portguard.core.exchange import (
    Command,
    Event,
    Heal,
    HealDone,
    HealRefused,
    Look,
    Moment,
    OwnTableSeen,
    PolicyLoaded,
    Publish,
    Run,
    State,
    Tell,
    WorldSeen,
)
from portguard.core.reconcile import step
from portguard.core.render import OWN_TABLE
from portguard.model.apply import apply
from portguard.model.finding import Kind
from portguard.model.policy import Mode
from portguard.model.ruleset import Actor, Chain, Rule, Ruleset, RulesetChange, Table, TableKey
from portguard.model.snapshot import Snapshot

if TYPE_CHECKING:
    from portguard.model.listener import Listener
    from portguard.model.policy import Policy

NFT = Actor(comm="nft", pid=42, parent="bash", loginuid=1000)
START = datetime(2026, 1, 1, tzinfo=UTC)
SITE = TableKey("inet", "site")


class Play:
    """A world in values and the daemon's mind over it. Time passes only when told."""

    def __init__(self, policy: Policy | None = None, *tables: Table, quiet: float = 60.0) -> None:
        self.now = 1000.0
        self.state = State()
        self.ruleset = sites.ruleset(*tables)
        self.policy = policy if policy is not None else sites.policy()
        self.listeners: tuple[Listener, ...] = sites.documented(self.policy)
        self.change: RulesetChange | None = None
        self.quiet = quiet
        self.told: list[str] = []
        self.refusal: str | None = None
        self.send(PolicyLoaded(at=self.at, policy=self.policy))

    @property
    def at(self) -> Moment:
        return Moment(monotonic=self.now, when=START + timedelta(seconds=self.now))

    def send(self, event: Event) -> list[Command]:
        """Give one event, and carry out what is asked for until nothing more is."""
        self.state, commands = step(self.state, event)
        done: list[Command] = list(commands)
        for command in commands:
            match command:
                case Run(heal=heal):
                    done += self.send(self._run(heal))
                case Tell(alerts=alerts):
                    self.told += [f"{row.state.value} {row.finding.kind.value}" for row in alerts]
                case _:
                    pass
        return done

    def _run(self, heal: Heal) -> Event:
        self.now += 0.002
        if self.refusal is not None:
            return HealRefused(at=self.at, heal=heal, message=self.refusal)
        self.ruleset = apply(self.ruleset, heal.transaction)
        return HealDone(at=self.at, heal=heal)

    def look(self, after: float = 0.0, *, blind: bool = False) -> list[Command]:
        """Look at the world."""
        self.now += after
        snapshot = sites.snapshot(self.ruleset, self.listeners)
        if blind:
            snapshot = Snapshot(listeners=None, ruleset=None, links=None)
        return self.send(
            WorldSeen(at=self.at, snapshot=snapshot, sensitive={}, quiet=self.quiet, change=self.change)
        )

    def settle(self) -> None:
        """Look until nothing more is healed."""
        for _ in range(5):
            if not any(isinstance(command, Run) for command in self.look(1.5)):
                return

    def blow(self, own: Table | None, actor: Actor = NFT) -> list[Command]:
        """Somebody changes the own table, and the kernel announces it."""
        tables = {key: table for key, table in self.ruleset.tables.items() if key != OWN_TABLE}
        if own is not None:
            tables[OWN_TABLE] = own
        self.ruleset = Ruleset(generation=self.ruleset.generation + 1, tables=tables)
        self.change = RulesetChange(
            generation=self.ruleset.generation,
            own=False,
            tables=frozenset({OWN_TABLE}),
            actor=actor,
            received=self.now,
        )
        return self.send(OwnTableSeen(at=self.at, table=own, change=self.change))

    @property
    def own(self) -> Table:
        return self.ruleset.tables[OWN_TABLE]

    def without(self, comment: str) -> Table:
        rules = tuple(rule for rule in self.own.rules_of("input") if rule.comment != comment)
        assert len(rules) < len(self.own.rules_of("input"))
        return replace(self.own, rules={"input": rules})


def heals(commands: list[Command]) -> list[Heal]:
    return [command.heal for command in commands if isinstance(command, Run)]


def test_the_first_look_makes_the_table_and_that_is_no_alarm() -> None:
    play = Play()
    (heal,) = heals(play.look())

    assert heal.kind is None
    assert len(play.own.rules_of("input")) > 20
    play.look(0.1)
    assert "firing rule_removed" not in play.told
    assert play.told.count("resolved rule_healed") == 1


def test_nothing_is_written_before_the_world_could_be_read() -> None:
    play = Play()

    assert not heals(play.look(blind=True))
    assert OWN_TABLE not in play.ruleset.tables


def test_observe_never_writes() -> None:
    play = Play(sites.policy(mode=Mode.OBSERVE), sites.input_table(policy="drop", name="site"))

    assert not heals(play.look())
    assert not heals(play.look(120))
    assert "firing required_port_blocked" in play.told


def test_a_removed_rule_is_healed_in_the_same_step_and_told_with_who_did_it() -> None:
    play = Play()
    play.settle()
    play.told.clear()
    commands = play.blow(play.without("portguard:printum/portal-web"))

    (heal,) = heals(commands)
    assert str(heal.transaction).count("add rule") == 2  # IPv4 and IPv6
    assert heal.actor == NFT
    assert play.told == ["firing rule_removed"]
    play.look(0.01)
    assert "resolved rule_healed" in play.told
    record = play.state.records[-1]
    assert record.actor == NFT
    assert 1.9 < record.took_ms < 2.1


def test_a_removed_table_is_one_alarm_and_one_heal() -> None:
    play = Play()
    play.settle()
    play.told.clear()
    (heal,) = heals(play.blow(None))

    assert "was removed, with" in heal.what
    play.look(0.01)
    assert play.told.count("firing rule_removed") == 1
    assert play.told.count("resolved rule_healed") == 1


def test_a_drop_under_the_same_comment_is_altered_and_put_right() -> None:
    play = Play()
    play.settle()
    rules = list(play.own.rules_of("input"))
    at = next(n for n, rule in enumerate(rules) if rule.comment == "portguard:printum/portal-web")
    rules[at] = replace(rules[at], expr=(*rules[at].expr[:-1], {"drop": None}))
    (heal,) = heals(play.blow(replace(play.own, rules={"input": tuple(rules)})))

    assert heal.kind is Kind.RULE_ALTERED
    assert not heals(play.look(0.01))


def test_the_fourth_removal_within_ten_minutes_is_left_and_alarmed_once() -> None:
    play = Play()
    play.settle()
    answered = []
    for _ in range(6):
        play.now += 5
        answered.append(bool(heals(play.blow(play.without("portguard:printum/portal-web")))))
        play.look(0.01)
        if not answered[-1]:
            break

    assert answered == [True, True, True, False]
    play.look(30)
    assert play.told.count("firing heal_suspended") == 1
    assert not heals(play.look(20))
    assert heals(play.look(40))


def test_after_a_suspension_the_daemon_asks_to_be_woken_for_the_retry() -> None:
    play = Play()
    play.settle()
    for _ in range(4):
        play.blow(play.without("portguard:printum/portal-web"))
    looks = [command.after for command in play.look() if isinstance(command, Look)]

    assert any(0 < after <= play.policy.limits.retry_first for after in looks)


def test_a_foreign_drop_waits_until_its_writer_rests_then_is_opened_and_proven() -> None:
    play = Play(None, sites.input_table(sites.ESTABLISHED, policy="drop", name="site"))
    play.look()
    play.quiet = 0.0
    table = sites.input_table(sites.ESTABLISHED, policy="drop", name="late")
    play.ruleset = sites.ruleset(*play.ruleset.tables.values(), table)
    assert not heals(play.look())

    play.quiet = 1.0
    (heal,) = heals(play.look(0.2))
    assert {operation.table.name for operation in heal.transaction.operations} == {"late"}
    play.look(0.01)
    assert play.state.judgement is not None
    assert "firing required_port_blocked" not in play.told
    assert "firing heal_ineffective" not in play.told


def test_a_lost_marked_rule_is_put_back_without_waiting() -> None:
    play = Play(None, sites.input_table(sites.ESTABLISHED, policy="drop", name="site"))
    play.settle()
    site = play.ruleset.tables[SITE]
    rules = tuple(rule for rule in site.rules_of("input") if rule.comment != "portguard:printum/portal-web")
    tables = {**play.ruleset.tables, SITE: replace(site, rules={"input": rules})}
    play.ruleset = Ruleset(generation=9, tables=tables)
    play.quiet = 0.0

    assert heals(play.look())


def test_a_port_that_stays_shut_after_its_heal_is_said_to() -> None:
    goto = Rule(chain="input", handle=20, expr=({"goto": {"target": "end"}},))
    table = sites.input_table(policy="drop", name="site")
    table = replace(
        table, chains={**table.chains, "end": Chain(name="end", handle=5)}, rules={"input": (goto,)}
    )
    play = Play(None, table)
    play.settle()

    assert "firing heal_ineffective" in play.told
    attempts = len(play.state.records)
    play.settle()
    assert len(play.state.records) == attempts


def test_a_refusing_kernel_is_an_alarm_and_not_asked_in_a_hot_loop() -> None:
    play = Play()
    play.refusal = "Operation not permitted"
    asked = sum(len(heals(play.look(0.5))) for _ in range(40))

    assert asked <= play.policy.limits.max_heals
    assert "firing heal_failed" in play.told
    play.refusal = None
    play.look(120)
    play.look(1)
    assert "resolved heal_failed" in play.told


def test_a_table_of_our_name_that_somebody_else_made_is_never_touched() -> None:
    theirs = Table(
        key=OWN_TABLE,
        handle=4,
        chains={"input": Chain(name="input")},
        rules={"input": (Rule(chain="input", handle=2, expr=({"accept": None},), comment="mine"),)},
    )
    play = Play(None, theirs)
    assert not heals(play.look())
    assert not heals(play.look(120))

    assert play.ruleset.tables[OWN_TABLE] == theirs
    assert "firing heal_failed" in play.told


def test_a_restarted_daemon_knows_its_table_again_and_writes_nothing() -> None:
    first = Play()
    first.settle()
    second = Play(None, *first.ruleset.tables.values())

    assert not heals(second.look())
    assert second.state.own_known


def test_every_look_publishes_a_status() -> None:
    play = Play()

    assert any(isinstance(command, Publish) for command in play.look())
    assert any(isinstance(command, Publish) for command in play.look(blind=True))


def test_a_changed_policy_changes_the_table_without_an_alarm_about_drift() -> None:
    play = Play()
    play.settle()
    play.told.clear()
    other = sites.policy(zones={**sites.ZONES, "printers": sites.ZONES["admins"]})
    play.send(PolicyLoaded(at=play.at, policy=other))
    play.look()

    assert "printers_4" in play.own.sets
    assert not [line for line in play.told if line.startswith("firing rule_")]

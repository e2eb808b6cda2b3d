"""One loop: events in, commands out.

::

     nftables announcements --+                      +--> Run      transaction -> kernel -> HealDone | HealRefused
     rtnetlink announcements -+                      +--> Tell     alerts -> journal
     trace, listener poll ----+--> core.reconcile ---+--> Look     snapshot -> WorldSeen
     inotify, SIGHUP ---------+        .step         +--> Publish  status file, STATUS=
     control socket ----------+
     slow timer, ENOBUFS -----+

Everything that decides is in ``core.reconcile``; everything that waits is here.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections import deque
from typing import TYPE_CHECKING

from portguard.core import news
from portguard.core.exchange import (
    Command,
    Event,
    HealDone,
    HealRefused,
    Keep,
    Look,
    Moment,
    OwnTableSeen,
    PolicyLoaded,
    Publish,
    Reply,
    Request,
    Run,
    State,
    Tell,
    WorldSeen,
)
from portguard.core.reconcile import step
from portguard.core.render import OWN_TABLE
from portguard.daemon.announcements import Announcements, OvertakenError
from portguard.daemon.authors import Authors
from portguard.daemon.control import open_control
from portguard.daemon.errands import Errands
from portguard.daemon.listening import ListenWatch
from portguard.daemon.observer import Observer
from portguard.daemon.publisher import Publisher
from portguard.daemon.settings import Settings
from portguard.daemon.share import Share
from portguard.daemon.spare import Spare
from portguard.daemon.words import host_words
from portguard.errors import NftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from portguard.alert.sink import Sink
    from portguard.core.lifecycle import Alert
    from portguard.daemon.notify import Notifier
    from portguard.daemon.site import Site
    from portguard.daemon.watch import ConfigWatch
    from portguard.kernel.world import World
    from portguard.model.config import Intervals
    from portguard.model.snapshot import Gap

_RETRY_BLIND = 5.0
"""Seconds after which a failed reading is tried again."""


class Daemon:
    """Wires the edges to the core, and keeps the deadlines."""

    def __init__(
        self,
        *,
        world: World,
        load: Callable[[], Site],
        site: Site,
        sink: Sink,
        notifier: Notifier,
        watch: ConfigWatch | None,
        host: str,
    ) -> None:
        self._world = world
        self._clock = world.clock
        self._sink = sink
        self._notifier = notifier
        self._observer = Observer(world)
        self._settings = Settings(
            site=site, load=load, watch=watch, observer=self._observer, clock=world.clock
        )
        self._listening = ListenWatch(world.listen_events, self._observer, self._clock)
        self._publisher = Publisher(host, self._clock, site.config.paths, world.listen_events)
        self._authors = Authors()
        self._errands = Errands(
            reload=self._reload, take=self._take, moment=self._moment, observer=self._observer
        )
        self._reply = Reply(ok=False, text="nothing was answered")
        self._state = State(
            book=self._publisher.recall(), standing=self._publisher.recall_standing(self._moment())
        )
        self._events: deque[Event] = deque([PolicyLoaded(at=self._moment(), policy=site.policy)])
        now = self._clock.monotonic()
        self._look_at: float | None = now
        self._share = Share(now)
        self._overtaken = False
        self._spare = Spare()
        self._announced = Announcements(world.ruleset_events, world.clock)
        world.firewall.meanwhile = self._announced.checkpoint
        self._poll_at = now + self._intervals.listeners
        self._full_at = now + self._intervals.full
        self._heartbeat_at = now
        self._ready = False
        self._stopping = False

    @property
    def _intervals(self) -> Intervals:
        return self._settings.site.config.intervals

    # --- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Guard until SIGTERM or SIGINT. The rules stay in place afterwards."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        selector = selectors.DefaultSelector()
        try:
            selector.register(reader, selectors.EVENT_READ, lambda: os.read(reader, 4096))
            selector.register(self._world.ruleset_events.fileno(), selectors.EVENT_READ, self._on_ruleset)
            selector.register(self._world.link_events.fileno(), selectors.EVENT_READ, self._on_links)
            self._listening.attach(selector)
            watching = self._settings.fileno()
            if watching is not None:
                selector.register(watching, selectors.EVENT_READ, self._on_watch)
            with open_control(
                self._settings.site.config.paths.status, self._errands, self._observer
            ) as control:
                if control is not None:
                    selector.register(control, selectors.EVENT_READ, control.serve)
                while not self._stopping:
                    self._cycle(selector)
            self._notifier.stopping()
        finally:
            selector.close()
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def _cycle(self, selector: selectors.BaseSelector) -> None:
        """Wait for something to happen, answer it, then do what is due."""
        for key, _ in selector.select(0.0 if self._events else self._timeout()):
            key.data()
        # Announced drift first: a full look takes longer than a heal, and never stands in its way.
        self._drain()
        now = self._clock.monotonic()
        if self._settings.due_at is not None and now >= self._settings.due_at:
            self._reload()
        if self._listening.due(now):
            self._look_soon(0.0)
        if now >= self._poll_at:
            self._poll_at = now + self._intervals.listeners
            self._sink.flush()
            if self._observer.listeners() | self._observer.connections():
                self._look_soon(0.0)
        if now >= self._full_at or self._listening.lost:
            self._full_at = now + self._intervals.full
            self._listening.checked()
            self._observer.time_passed()
            self._look_soon(0.0)
        if self._look_at is not None and now >= max(self._look_at, self._share.free_at):
            self._look()
        if now >= self._heartbeat_at and self._ready:
            self._heartbeat_at = now + self._intervals.heartbeat
            self._send(news.heartbeat(self._state, self._clock.now()))
        self._notifier.cycle_done(now)

    def _timeout(self) -> float:
        due = [self._poll_at, self._full_at, self._heartbeat_at]
        if self._look_at is not None:
            due.append(max(self._look_at, self._share.free_at))
        due += [at for at in (self._settings.due_at, self._listening.due_at) if at is not None]
        return max(0.0, min(due) - self._clock.monotonic())

    def _moment(self) -> Moment:
        return Moment(monotonic=self._clock.monotonic(), when=self._clock.now())

    # --- events ------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._settings.requested()
        else:
            self._stopping = True

    def _on_ruleset(self) -> None:
        events = self._announced.take()
        if events.lost:
            self._observer.everything_changed()
            self._look_soon(0.0)
        if not events.changes:
            return
        self._observer.ruleset_changed(events.changes)
        foreign = [change for change in events.changes if not change.own]
        if not foreign:
            return
        if ours := [change for change in foreign if OWN_TABLE in change.tables]:
            table, read = self._observer.own_table()
            if read:
                self._events.append(OwnTableSeen(at=self._moment(), table=table, change=ours[0]))
        self._look_soon(0.0)

    def _on_links(self) -> None:
        if self._world.link_events.drain():
            self._observer.links_changed()
            self._look_soon(0.05)

    def _on_watch(self) -> None:
        if not self._settings.drain():
            self._look_soon(0.0)

    def _look_soon(self, after: float, since: float | None = None) -> None:
        at = (self._clock.monotonic() if since is None else since) + after
        self._look_at = at if self._look_at is None else min(self._look_at, at)

    def _look(self) -> None:
        self._look_at = None
        began = self._clock.monotonic()
        # A large ruleset takes seconds to read and to judge: drift announced meanwhile is mended at once, and the look, which
        # is history then, is begun again. Twice in a row would starve it.
        self._announced.urgent = not self._overtaken
        try:
            self._see()
            self._overtaken = False
            self._share.spend(began, self._clock.monotonic())
        except OvertakenError:
            self._overtaken = True
            self._look_soon(0.0)
        self._announced.urgent = False
        self._on_ruleset()
        self._drain()
        if self._observer.blind:
            self._look_soon(_RETRY_BLIND)

    def _see(self) -> None:
        """Look at everything and judge it. Raises OvertakenError."""
        snapshot = self._observer.snapshot()
        self._announced.checkpoint()
        at = self._moment()
        seen = WorldSeen(
            at=at,
            snapshot=snapshot,
            sensitive=self._observer.sensitive(),
            quiet=self._announced.quiet(at.monotonic),
            change=self._announced.foreign,
            checkpoint=self._announced.checkpoint,
        )
        self._events.append(seen)
        self._drain()
        self._spare.after_look(snapshot.ruleset)

    # --- commands ----------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        while self._events:
            event = self._events.popleft()
            self._state, commands = step(self._state, event)
            for command in commands:
                self._carry_out(command, event.at)

    def _carry_out(self, command: Command, at: Moment) -> None:
        match command:
            case Run():
                self._commit(command)
            case Tell(alerts=alerts):
                self._send(alerts)
            case Look(after=after):
                self._look_soon(after, since=at.monotonic)
            case Publish():
                self._publish()
            case Keep():
                self._note(self._publisher.keep(self._state))
            case Reply():
                self._reply = command

    def _take(self, request: Request) -> Reply:
        """Hand a person's request to the core, and give its answer."""
        self._events.append(request)
        self._drain()
        return self._reply

    def _commit(self, command: Run) -> None:
        try:
            self._world.firewall.commit(command.heal.transaction)
        except NftError as error:
            self._events.append(HealRefused(at=self._moment(), heal=command.heal, message=str(error)))
            return
        done = self._moment()
        self._observer.committed(command.heal.transaction)
        self._events.append(HealDone(at=done, heal=self._authors.of_heal(command.heal)))

    def _publish(self) -> None:
        judgement = self._state.judgement
        if judgement is None:
            return
        self._note(self._publisher.publish(self._state, self._settings.rejected))
        if not self._ready:
            self._ready = True
            self._notifier.ready(judgement.summary)
        else:
            self._notifier.status(judgement.summary)

    def _note(self, gaps: Mapping[str, Gap | None]) -> None:
        """Take over which files cannot be written."""
        for name, gap in gaps.items():
            if gap != self._observer.standing_gaps.get(name):
                self._observer.set_standing_gap(name, gap)
                self._look_soon(0.0)

    # --- configuration and heartbeat -----------------------------------------------------------------------------

    def _reload(self) -> tuple[str, ...]:
        """Read the configuration again, and give its faults. A bad one changes nothing but the alert that says so."""
        self._notifier.reloading()
        if self._settings.reload():
            site = self._settings.site
            self._publisher.paths = site.config.paths
            self._send(news.changed(self._state.configured, site.policy, self._clock.now()))
            self._events.append(PolicyLoaded(at=self._moment(), policy=site.policy))
        else:
            known = self._settings.rejected_before
            self._send(news.rejected(known, self._settings.rejected, self._clock.now()))
        summary = self._state.judgement.summary if self._state.judgement is not None else ""
        refused = "configuration rejected, the old one stays" if self._settings.rejected else ""
        self._notifier.ready(refused or summary)
        self._look_soon(0.0)
        self._drain()
        return self._settings.rejected

    def _send(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self._sink.send(self._authors.of_alert(alert), host_words(self._settings.site, self._state))

"""The daemon's loop over the fake kernel: every edge is answered, and what fails becomes a gap."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from portguard.alert.sink import RecordingSink
from portguard.catalogue.load import load
from portguard.core import path
from portguard.core.render import OWN_TABLE
from portguard.core.resolve import resolve
from portguard.daemon.loop import Daemon
from portguard.daemon.notify import Notifier
from portguard.daemon.site import Site
from portguard.errors import ConfigError, Fault
from portguard.kernel.fake import FakeKernel
from portguard.kernel.real import SystemClock
from portguard.model.config import Config, Intervals
from portguard.model.net import AddressSet, Transport
from portguard.model.paths import Paths
from portguard.model.policy import Mode
from portguard.model.ruleset import Actor
from portguard.model.transaction import TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CATALOGUE = load()
NFT = Actor(comm="nft", pid=77, parent="bash")


class Guard:
    """A daemon on the fake kernel, run in this thread while another one plays the world."""

    def __init__(self, folder: Path) -> None:
        self.kernel = FakeKernel(SystemClock())  # type: ignore[arg-type]
        self.sink = RecordingSink()
        self.folder = folder
        self.status_file = folder / "status.json"
        self.faults: list[Fault] = []
        self.loads = 0
        """How many times the configuration was read."""
        self.mode = Mode.HEAL
        self.daemon = Daemon(
            world=self.kernel.world(),
            load=self.load,
            site=self.load(),
            sink=self.sink,
            notifier=Notifier({}),
            watch=None,
            host="test",
        )
        self.error: BaseException | None = None

    def loaded_since(self, loads: int) -> bool:
        return self.loads > loads

    def load(self) -> Site:
        self.loads += 1
        if self.faults:
            raise ConfigError(self.faults)
        config = Config(
            roles=("printum/redis-sentinel",),
            mode=self.mode,
            zones={"admins": AddressSet.of("10.9.0.0/24")},
            hosts={"printum/redis-sentinel": AddressSet.of("10.0.0.11")},
            intervals=Intervals(listeners=0.02, full=0.5, heartbeat=3600.0),
            listener_grace=0.0,
            paths=Paths(status=self.status_file, state=self.folder / "state"),
            digest=str(self.mode),
        )
        return Site(config=config, policy=resolve(config, CATALOGUE))

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.status_file.read_text())
        return document

    def play(self, scene: Callable[[], None]) -> None:
        """Run the daemon here and the scene in a thread beside it; end the daemon when the scene is over."""

        def run() -> None:
            try:
                self.until(self.status_file.exists, "a first status")
                scene()
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                self.error = error
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        beside = threading.Thread(target=run)
        beside.start()
        self.daemon.run()
        beside.join()
        if self.error is not None:
            raise self.error

    def until(self, what: Callable[[], Any], describe: str) -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if what():
                return
            time.sleep(0.005)
        raise AssertionError(f"never happened: {describe}; told: {self.sink.events()}")

    def told(self, event: str) -> bool:
        return event in self.sink.events()


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    made = Guard(tmp_path)
    yield made
    made.kernel.world().close()


def test_a_deleted_table_comes_back_and_the_writer_is_named(guard: Guard) -> None:
    def scene() -> None:
        guard.until(lambda: OWN_TABLE in guard.kernel.ruleset.tables, "the own table")
        guard.kernel.foreign(Transaction(operations=(TableOp(verb=Verb.DELETE, table=OWN_TABLE),)), actor=NFT)
        guard.until(lambda: guard.told("rule_removed firing"), "the alarm")
        guard.until(lambda: OWN_TABLE in guard.kernel.ruleset.tables, "the table again")
        guard.until(lambda: len(guard.status()["heals"]) == 2, "two heals in the status")

    guard.play(scene)
    assert guard.status()["heals"][-1]["actor"] == {
        "comm": "nft",
        "pid": 77,
        "parent": "bash",
        "parents": [],
        "unit": None,
        "loginuid": None,
        "login": None,
        "session": None,
        "remote": None,
        "exe": None,
        "package": None,
        "audited": False,
    }


def test_lost_announcements_are_made_up_for(guard: Guard) -> None:
    def scene() -> None:
        guard.until(lambda: OWN_TABLE in guard.kernel.ruleset.tables, "the own table")
        guard.kernel.lose_events()
        guard.kernel.flush(actor=NFT)
        guard.until(lambda: OWN_TABLE in guard.kernel.ruleset.tables, "the table again")

    guard.play(scene)


def test_without_inotify_there_is_a_gap_and_no_ok(guard: Guard) -> None:
    def scene() -> None:
        guard.until(lambda: guard.status()["gaps"], "the gap")

    guard.play(scene)
    assert "SIGHUP only" in guard.status()["gaps"][0]["reason"]
    assert guard.status()["verdict"] != "ok"


def test_a_listener_that_comes_and_goes_is_seen_by_the_poll(guard: Guard) -> None:
    def scene() -> None:
        guard.until(lambda: guard.told("listener_missing firing"), "missing at first")
        guard.kernel.listen(Transport.TCP, "0.0.0.0", 6379)
        guard.until(lambda: guard.told("listener_missing resolved"), "there now")

    guard.play(scene)


def wrong(zone: str) -> Fault:
    return Fault(file="x.toml", line=3, path=f"zones.{zone}", message="is wrong")


def test_a_rejected_configuration_stays_out_until_it_is_mended(guard: Guard) -> None:
    def scene() -> None:
        guard.faults = [wrong("printers[1]")]
        os.kill(os.getpid(), signal.SIGHUP)
        guard.until(lambda: guard.told("config_rejected firing"), "the rejection")
        guard.until(lambda: guard.status()["daemon"]["config_rejected"], "the faults in the status")
        guard.faults = []
        guard.mode = Mode.OBSERVE
        os.kill(os.getpid(), signal.SIGHUP)
        guard.until(lambda: guard.told("mode_changed firing"), "the new mode")

    guard.play(scene)
    assert any("x.toml:3: zones.printers[1]: is wrong" in text for text, _ in guard.sink.sent)


def test_the_same_faults_are_told_once_and_others_again(guard: Guard) -> None:
    def scene() -> None:
        for zone in ("printers[1]", "printers[1]", "printers[2]"):
            guard.faults, loads = [wrong(zone)], guard.loads
            os.kill(os.getpid(), signal.SIGHUP)
            guard.until(partial(guard.loaded_since, loads), "a reload")
        guard.until(lambda: any("printers[2]" in text for text, _ in guard.sink.sent), "the other fault")

    guard.play(scene)
    told = [text.partition(" | ")[0] for text, _ in guard.sink.sent if "event=config_rejected" in text]
    assert [text.rpartition("zones.")[2] for text in told] == [
        "printers[1]: is wrong",
        "printers[2]: is wrong",
    ]


def test_the_first_thing_told_after_a_start_is_that_it_lives(guard: Guard) -> None:
    guard.play(lambda: guard.until(lambda: guard.told("heartbeat firing"), "a heartbeat"))


@pytest.mark.parametrize("what", ["judged", "read"])
def test_drift_is_mended_while_everything_is_being_read_and_judged(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The next thing that the daemon does after it heard of the drift is the heal, and the look is begun again."""
    done: list[str] = []
    armed = threading.Event()
    firewall = guard.daemon._world.firewall
    evaluating, reading, committing = path.evaluate, firewall.read, firewall.commit

    def drift() -> None:
        armed.clear()
        done.append("drift")
        guard.kernel.foreign(Transaction(operations=(TableOp(verb=Verb.DELETE, table=OWN_TABLE),)), actor=NFT)

    def evaluate(*given: Any) -> Any:
        done.append("evaluated")
        if what == "judged" and armed.is_set():
            drift()
        return evaluating(*given)

    def read() -> Any:
        if what == "read" and armed.is_set():
            drift()
        ruleset = reading()
        done.append("read")
        return ruleset

    def commit(transaction: Transaction) -> int:
        done.append("committed")
        return committing(transaction)

    monkeypatch.setattr("portguard.core.reach.evaluate", evaluate)
    monkeypatch.setattr(firewall, "read", read)
    monkeypatch.setattr(firewall, "commit", commit)

    def scene() -> None:
        guard.until(lambda: OWN_TABLE in guard.kernel.ruleset.tables, "the own table")
        guard.until(lambda: guard.told("heartbeat firing"), "rest")
        armed.set()
        guard.kernel.lose_events()
        guard.kernel.listen(Transport.TCP, "0.0.0.0", 6379)
        guard.until(lambda: guard.told("rule_removed firing"), "the alarm")
        guard.until(lambda: guard.told("rule_healed resolved"), "the heal")

    guard.play(scene)
    assert done[done.index("drift") + 1] == "committed"

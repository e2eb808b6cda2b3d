"""What was ordered outlives the daemon; what is damaged orders nothing."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portguard.catalogue.load import load
from portguard.core.closing import PROTOCOLS
from portguard.core.exchange import Moment, Standing, State
from portguard.core.resolve import resolve
from portguard.core.standing import with_order
from portguard.daemon.orderfile import ORDER, TABLE, OrderFile, table_text, withdraw
from portguard.model.config import Config
from portguard.model.containment import ClosedPort, Closing, Order, OrderState, Pause
from portguard.model.net import Transport
from portguard.model.policy import Mode

NOW = Moment(monotonic=1000.0, when=datetime(2026, 11, 21, 9, 30, tzinfo=UTC))
CONFIGURED = resolve(Config(roles=("printum/all-in-one",), mode=Mode.HEAL), load())
ORDERED = Order(
    mode=Mode.CONTAIN,
    state=OrderState.CONFIRMED,
    configured=Mode.HEAL,
    roles=("printum/all-in-one",),
    before=Mode.HEAL,
    confirm_within=60.0,
)
CLOSING = Closing(ports=(ClosedPort(transport=Transport.TCP, port=6390, application="redis"),))


def state(order: Order | None = ORDERED, **standing: Any) -> State:
    """A daemon under an order."""
    return with_order(
        State(configured=CONFIGURED, policy=CONFIGURED),
        Standing(order=order, **{"closing": CLOSING, **standing}),
    )


def document(folder: Path) -> Any:
    return json.loads((folder / ORDER).read_text())


def rewritten(folder: Path, **changes: Any) -> None:
    """Change what the file says, at its top."""
    OrderFile(folder).keep(state())
    (folder / ORDER).write_text(json.dumps({**document(folder), **changes}))


# --- the order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OrderState)
@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.HEAL, Mode.CONTAIN])
def test_the_next_process_finds_the_order_that_this_one_kept(
    tmp_path: Path, mode: Mode, kind: OrderState
) -> None:
    order = replace(ORDERED, mode=mode, state=kind, before=Mode.OBSERVE, confirm_within=17.5)
    OrderFile(tmp_path).keep(state(order))

    found = OrderFile(tmp_path).recall(NOW)
    assert replace(found, closed_before=None) == Standing(order=order, recalled=True)


def test_what_was_closed_for_good_is_closed_from_the_first_look_of_the_next_process_on(
    tmp_path: Path,
) -> None:
    """After a boot its service may start later than the daemon: it must find its port closed."""
    OrderFile(tmp_path).keep(state())

    closing = OrderFile(tmp_path).recall(NOW).closed_before
    assert closing is not None
    assert closing.ports == CLOSING.ports
    assert closing.seen == {(Transport.TCP, 6390): NOW.monotonic}


@pytest.mark.parametrize("kind", [OrderState.WAITING, OrderState.WITHDRAWN])
def test_what_nobody_confirmed_is_not_recalled_as_closed(tmp_path: Path, kind: OrderState) -> None:
    OrderFile(tmp_path).keep(state(replace(ORDERED, state=kind)))

    assert OrderFile(tmp_path).recall(NOW).closed_before is None


def test_what_is_kept_is_on_the_disk_before_it_takes_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut right after a confirmation must not leave an empty file where the order stood."""
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(tmp_path)))
        if synced[-1]:
            assert os.fstat(descriptor).st_size > 0
            assert not (tmp_path / synced[-1].strip("/.").removesuffix(f".{os.getpid()}")).exists()

    monkeypatch.setattr("os.fsync", fsync)
    OrderFile(tmp_path).keep(state())

    files = [f"/.{name}.{os.getpid()}" for name in (ORDER, TABLE)]
    assert synced == [files[0], "", files[1], ""], "each file, then its folder"


def test_no_order_is_kept_as_none(tmp_path: Path) -> None:
    OrderFile(tmp_path).keep(state(None))

    assert OrderFile(tmp_path).recall(NOW) == Standing(recalled=True)


def test_the_folder_is_made_and_others_may_not_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "portguard"
    OrderFile(folder).keep(state())

    for name in (ORDER, TABLE):
        assert not stat.S_IMODE((folder / name).stat().st_mode) & 0o007
    assert sorted(path.name for path in folder.iterdir()) == sorted((ORDER, TABLE)), "nothing half-written"


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    file = OrderFile(tmp_path)
    file.keep(state())
    before = [(tmp_path / name).stat().st_ino for name in (ORDER, TABLE)]
    file.keep(state())
    assert [(tmp_path / name).stat().st_ino for name in (ORDER, TABLE)] == before

    file.keep(state(replace(ORDERED, state=OrderState.WITHDRAWN)))
    assert document(tmp_path)["order"]["state"] == "withdrawn"


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        OrderFile(tmp_path / "file").keep(state())


def test_without_a_file_nothing_is_ordered(tmp_path: Path) -> None:
    assert OrderFile(tmp_path).recall(NOW) == Standing()


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"order": 3},
        {"order": []},
        {"order": {}},
        {"order": {"mode": "enslave"}},
        {"order": {"mode": "contain", "state": "confirmed"}},
        {"pause": "now"},
        {"pause": {"until": "tomorrow", "reason": "x"}},
        {"pause": {"until": 12, "reason": "x"}},
        {"pause": {"until": "0001-01-01T00:00:00+14:00", "reason": "x"}},
        {"pause": {"until": "2026-11-21T10:00:00+00:00"}},
    ],
    ids=repr,
)
def test_a_damaged_file_orders_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    rewritten(tmp_path, **changes)

    assert OrderFile(tmp_path).recall(NOW) == Standing()


@settings(deadline=None)  # it waits for the disk
@given(st.integers(0, 300), st.binary(max_size=4))
def test_no_damage_is_fatal(tmp_path_factory: pytest.TempPathFactory, at: int, instead: bytes) -> None:
    folder = tmp_path_factory.mktemp("state")
    OrderFile(folder).keep(state(pause=Pause(until=NOW.when, ends=1000.0, reason="x")))
    whole = (folder / ORDER).read_bytes()
    (folder / ORDER).write_bytes(whole[:at] + instead + whole[at + len(instead) + 1 :])
    recalled = OrderFile(folder).recall(NOW)

    # What it may say is another order that could have been given, never something that is none.
    assert recalled.order is None or recalled.order.mode in Mode
    assert recalled.closing is None


# --- the pause ---------------------------------------------------------------------------------------------------


def paused(left: timedelta) -> Pause:
    return Pause(until=NOW.when + left, ends=NOW.monotonic + left.total_seconds(), reason="new rules")


def test_a_pause_ends_when_it_was_to_end_on_another_monotonic_clock(tmp_path: Path) -> None:
    OrderFile(tmp_path).keep(state(pause=paused(timedelta(minutes=30))))
    later = Moment(monotonic=5.0, when=NOW.when + timedelta(minutes=10))
    pause = OrderFile(tmp_path).recall(later).pause

    assert pause is not None
    assert (pause.until, pause.ends, pause.reason) == (NOW.when + timedelta(minutes=30), 1205.0, "new rules")


def test_a_pause_that_is_over_is_none(tmp_path: Path) -> None:
    OrderFile(tmp_path).keep(state(pause=paused(timedelta(minutes=30))))
    later = Moment(monotonic=5.0, when=NOW.when + timedelta(minutes=30))
    recalled = OrderFile(tmp_path).recall(later)

    assert recalled.pause is None
    assert recalled.order == ORDERED


def test_a_clock_that_was_set_back_does_not_make_it_a_pause_of_a_year(tmp_path: Path) -> None:
    OrderFile(tmp_path).keep(state(pause=paused(timedelta(minutes=30))))
    pause = OrderFile(tmp_path).recall(Moment(monotonic=5.0, when=NOW.when - timedelta(days=365))).pause

    assert pause is not None
    assert pause.ends == 5.0 + 86400.0


# --- the table for the next boot ---------------------------------------------------------------------------------


def test_what_is_closed_for_good_is_kept_as_text_that_replaces_the_table(tmp_path: Path) -> None:
    OrderFile(tmp_path).keep(state())
    text = (tmp_path / TABLE).read_text()

    assert text.splitlines()[0] == "add table inet portguard"
    assert "delete table inet portguard" in text
    assert "6390" in text
    assert all(protocol in text for protocol in PROTOCOLS)


@pytest.mark.parametrize("kind", [OrderState.WAITING, OrderState.WITHDRAWN])
def test_what_nobody_confirmed_is_not_there_at_the_next_boot(tmp_path: Path, kind: OrderState) -> None:
    file = OrderFile(tmp_path)
    file.keep(state())
    file.keep(state(replace(ORDERED, state=kind)))

    assert not (tmp_path / TABLE).exists()
    file.keep(state(replace(ORDERED, state=kind)))


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.HEAL])
def test_a_mode_that_closes_nothing_leaves_nothing_for_a_boot(tmp_path: Path, mode: Mode) -> None:
    file = OrderFile(tmp_path)
    file.keep(state())
    file.keep(state(replace(ORDERED, mode=mode)))

    assert not (tmp_path / TABLE).exists()


def test_before_anything_is_known_there_is_no_table() -> None:
    assert table_text(State()) is None
    assert table_text(state(closing=None)) is None


def test_a_link_in_the_way_of_the_table_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".{TABLE}.{os.getpid()}").symlink_to(victim)

    with pytest.raises(OSError, match=r"symbolic links|Too many"):
        OrderFile(tmp_path).keep(state())
    assert victim.read_text() == "mine"


def test_an_order_can_be_taken_back_without_a_daemon(tmp_path: Path) -> None:
    OrderFile(tmp_path).keep(state())
    withdraw(tmp_path)
    assert OrderFile(tmp_path).recall(NOW) == Standing()
    assert list(tmp_path.iterdir()) == []

    withdraw(tmp_path)

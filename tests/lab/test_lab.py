"""The lab from end to end: the real daemon, real packets, a real Redis and JVM, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lab

NETNS = Path("/run/netns")
RUN = Path("/run/portguard-lab")
LAB = [sys.executable, "-m", "portguard", "lab"]
HEALED = ("rule-deleted", "table-deleted", "ruleset-flushed", "rule-replaced", "foreign-drop")
ENDS = {
    "listener-died": "listener_missing",
    "redis-exposed": "service_exposed",
    "jmx-exposed": "service_exposed",
    "reserved-address": "reserved_address_in_use",
}
DETECTED = {
    "rule-deleted": {"rule_removed", "rule_healed"},
    "table-deleted": {"rule_removed", "rule_healed"},
    "ruleset-flushed": {"rule_removed", "rule_healed", "service_exposed"},
    "rule-replaced": {"rule_altered", "rule_healed"},
    "foreign-drop": {"rule_healed"},
    **{step: {kind} for step, kind in ENDS.items()},
}


class Run:
    """One run of the lab, watched: its namespaces, and every process that it ever started."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*LAB, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        self.children: set[tuple[int, str]] = set()
        """Process id and start time."""
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def wait_until_up(self) -> None:
        """Wait for the line that says that the daemon guards the server."""
        assert self.process.stdout is not None
        assert any("The daemon starts" in line for line in self.process.stdout), "the lab did not come up"

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; returns exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=180)
        self._watcher.join()
        return self.process.returncode, out, err

    def namespaces(self) -> list[str]:
        """Names of this run's namespaces that exist now."""
        if not NETNS.exists():
            return []
        return [
            entry.name for entry in NETNS.iterdir() if entry.name.startswith(f"pglab-{self.process.pid}-")
        ]

    def alive(self) -> set[tuple[int, str]]:
        """Processes of this run that live now."""
        return {(pid, start) for pid, start in self.children if started(pid) == start}

    def left(self) -> list[object]:
        """What is still there: namespaces, processes, files."""
        deadline = time.monotonic() + 10
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        files = [*RUN.glob(f"{self.process.pid}*")] if RUN.exists() else []
        return [*self.namespaces(), *self.alive(), *files]

    def _watch(self) -> None:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while self.process.poll() is None:
            with contextlib.suppress(OSError):
                seen = {(int(pid), started(int(pid))) for pid in task.read_text().split()}
                self.children |= {(pid, start) for pid, start in seen if start}
            time.sleep(0.02)


def started(pid: int) -> str:
    """Start time of a process in clock ticks; empty when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Play everything once, and give what ``--json`` prints."""
    run = Run("--json")
    code, out, err = run.end()
    assert out, err
    printed: dict[str, Any] = json.loads(out)
    assert code == 0, [(row["name"], row["problems"]) for row in printed["steps"] if not row["ok"]]
    assert len(run.children) >= 8
    assert run.left() == []
    return printed


def step(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in document["steps"] if row["name"] == name)


def test_every_step_did_what_it_should(document: dict[str, Any]) -> None:
    assert document["schema"] == 1
    assert document["ok"] is True
    assert document["failed"] == []
    assert [row["name"] for row in document["steps"]] == ["start", *DETECTED]
    assert all(row["ok"] and not row["problems"] for row in document["steps"])


def test_the_daemon_finds_nothing_wrong_with_the_undamaged_server(document: dict[str, Any]) -> None:
    assert document["role"] == ["printum/all-in-one"]
    assert document["verdict"] == "ok"
    assert document["listeners"] >= 15


@pytest.mark.parametrize("name", [*DETECTED, "start"])
def test_every_documented_connection_is_open_after_each_step(document: dict[str, Any], name: str) -> None:
    sweep = step(document, name)["sweep"]

    assert sweep["shut"] == []
    assert sweep["open"] == sweep["tried"] >= 50


@pytest.mark.parametrize(("name", "kinds"), DETECTED.items())
def test_each_step_is_detected(document: dict[str, Any], name: str, kinds: set[str]) -> None:
    detected = step(document, name)["detected"]

    assert kinds <= {row["kind"] for row in detected}
    assert all(row["after_ms"] > 0 and row["message"] for row in detected)


@pytest.mark.parametrize("name", HEALED)
def test_what_can_be_healed_is_healed_and_measured_from_outside(document: dict[str, Any], name: str) -> None:
    healed = step(document, name)["healed"]

    assert healed
    assert healed[0]["took_ms"] > 0
    assert healed[0]["measured_ms"] > 0


@pytest.mark.parametrize("name", HEALED)
def test_a_heal_names_the_program_that_made_it_necessary(document: dict[str, Any], name: str) -> None:
    assert {row["actor"]["comm"] for row in step(document, name)["healed"]} == {"nft"}


@pytest.mark.parametrize(("name", "kind"), ENDS.items())
def test_what_is_only_reported_ends_when_the_world_is_put_back(
    document: dict[str, Any], name: str, kind: str
) -> None:
    assert step(document, name)["healed"] == []
    assert kind in step(document, name)["resolved"]


def test_a_foreign_drop_is_opened_for_the_documented_clients_and_for_nobody_else(
    document: dict[str, Any],
) -> None:
    connections = step(document, "foreign-drop")["connections"]

    assert {row["client"] for row in connections} == {"workstation", "printer", "admin", "peer", "stranger"}
    assert {row["version"] for row in connections} == {4, 6}
    assert connections[0]["struck"] == "dropped"
    for row in connections:
        assert row["after"] == ("dropped" if row["client"] == "stranger" else "open")


def test_a_client_notices_the_foreign_drop_and_then_its_end(document: dict[str, Any]) -> None:
    outage = step(document, "foreign-drop")["outage"]

    assert 0 < outage["lost"] < outage["attempts"]
    assert outage["dark_ms"] > 0


def test_a_stranger_talks_to_the_real_servers_where_they_are_installed(document: dict[str, Any]) -> None:
    redis = " ".join(step(document, "redis-exposed")["did"])
    jmx = " ".join(step(document, "jmx-exposed")["did"])

    assert "+PONG" in redis
    assert ("stand-in" in redis) == (not (shutil.which("redis-server") or shutil.which("redis-check-rdb")))
    assert ("stand-in" in jmx) == (shutil.which("java") is None)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_lab_and_removes_all_of_it(how: signal.Signals) -> None:
    run = Run("--scenario", "none", "--keep")
    run.wait_until_up()
    assert len(run.namespaces()) == 7

    run.process.send_signal(how)

    assert run.end()[0] in (0, 128 + how)
    assert run.left() == []


def test_a_signal_in_the_middle_of_the_play_removes_all_of_it() -> None:
    run = Run()
    run.wait_until_up()

    run.process.send_signal(signal.SIGTERM)

    assert run.end()[0] == 128 + signal.SIGTERM
    assert run.left() == []


def test_a_killed_lab_takes_its_processes_along_and_the_next_one_removes_the_rest() -> None:
    killed = Run("--scenario", "none", "--keep")
    killed.wait_until_up()
    time.sleep(0.1)
    killed.process.kill()
    killed.end()
    left = killed.left()
    assert len(killed.children) >= 8
    assert not killed.alive()
    assert len(left) >= 7

    code, _, err = Run("--scenario", "none", "--json").end()

    assert code == 0, err
    assert f"removed what the crashed run {killed.process.pid} left behind" in err
    assert killed.left() == []


def test_two_labs_at_the_same_time_do_not_disturb_each_other() -> None:
    runs = [Run("--scenario", "table-deleted", "--json") for _ in range(2)]

    for run in runs:
        code, _, err = run.end()
        assert code == 0, err
        assert run.left() == []


def test_settings_of_the_callers_shell_do_not_reach_the_daemon_under_test() -> None:
    env = {**os.environ, "PORTGUARD_MODE": "observe", "NOTIFY_SOCKET": "/nowhere"}

    code, out, err = Run("--scenario", "rule-deleted", "--json", env=env).end()

    assert code == 0, err
    assert step(json.loads(out), "rule-deleted")["healed"]


HOST_WITH_A_JOURNAL = """
import pathlib, socket, subprocess, sys
pathlib.Path("/run/systemd/journal").mkdir(parents=True)
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
done = subprocess.run([sys.executable, "-m", "portguard", "lab", "--scenario", "rule-deleted", "--json"])
journal.setblocking(False)
try:
    print("heard", journal.recv(100))
except BlockingIOError:
    sys.exit(done.returncode)
sys.exit(99)
"""


def test_alerts_of_the_lab_do_not_reach_the_hosts_journal() -> None:
    # A /run of its own, so that a journal can stand there without the machine having one.
    own_run = 'mount -t tmpfs tmpfs /run && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", own_run, "sh", sys.executable, "-c", HOST_WITH_A_JOURNAL]

    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert step(json.loads(done.stdout), "rule-deleted")["detected"]


def test_without_root_one_line_says_what_is_missing() -> None:
    done = subprocess.run(
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *LAB],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr.strip().splitlines()[-1].startswith("portguard: the lab needs root")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--role", "printum/portall"], "no role 'printum/portall'; did you mean printum/portal"),
        (["--scenario", "table-delete"], "no scenario 'table-delete'; did you mean table-deleted"),
    ],
)
def test_a_wrong_name_is_refused_with_its_near_misses(words: list[str], said: str) -> None:
    done = subprocess.run([*LAB, *words], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 64
    assert said in done.stderr

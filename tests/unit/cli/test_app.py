"""The command line: one clear line and the right exit code for everything that a user can do wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from portguard.cli.app import COMMANDS, main
from portguard.daemon import statusfile
from portguard.errors import ObserveError

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORTGUARD_")}
    return subprocess.run(
        [sys.executable, "-m", "portguard", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **environ},
    )


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_with_an_example_and_takes_a_config(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])

    text = capsys.readouterr().out
    assert left.value.code == 0
    assert "examples:" in text
    assert f"portguard {command}" in text
    assert "--config" in text


@pytest.mark.parametrize(("user", "hint"), [(65534, "; become root"), (0, "")])
def test_what_the_kernel_refuses_ends_with_what_to_do(
    user: int, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refused(_reserved: object) -> None:
        raise ObserveError("cannot hear of ruleset changes: Operation not permitted")

    monkeypatch.setattr("portguard.cli.check.look", refused)
    monkeypatch.setattr("os.geteuid", lambda: user)
    config = tmp_path / "portguard.toml"
    config.write_text("")

    assert main(["check", "--config", str(config)]) == 3
    assert capsys.readouterr().err == (
        f"portguard: cannot hear of ruleset changes: Operation not permitted{hint}\n"
    )


def test_the_help_lists_every_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    text = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert name in text
        assert line.split()[0] in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["guard"], "invalid choice: 'guard'"),
        (["status", "--yes"], "unrecognized arguments: --yes"),
        (["plan", "--mode", "enforce"], "invalid choice: 'enforce'"),
        (["explain", "70000"], "70000"),
        (["explain", "0"], "0"),
        (["catalogue", "show", "printum/allinone"], "did you mean printum/all-in-one"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_64(arguments: list[str], complaint: str) -> None:
    done = run(*arguments)

    assert done.returncode == 64
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("portguard")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "check", "plan"])
@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        (None, ["does not exist"]),
        ("role = ", ["is not TOML"]),
        ("mode = 'heal'", ["mode: heal needs a role"]),
        ("role = 'printum/monitor'", ["printum/monitoring"]),
        ("role = 'printum/portal'\n[zones]\nworkstatons = []", ["workstations"]),
        (
            "role = 'printum/portal'\n[zones]\nprinters = ['10.28.32.0/27']",
            ["reserved range 10.28.32.0/26", ":3:"],
        ),
        (
            "role = 'printum/portal'\n[zones]\nprinters = ['10.2.0.0/16', '10.2.3.0/24']",
            ["zones.printers[1]"],
        ),
        ("role = 'printum/portal'\n[zones]\nprinters = ['10.2.0.300']", ["zones.printers[0]"]),
        (
            (
                "role = 'printum/portal'\n[[extra]]\ntransport = 'tcp'\nport = 70000\nfrom = 'any'\nreason = 'x'\n"
                "[[extra]]\ntransport = 'tcp'\nport = 0\nfrom = 'any'\nreason = 'x'"
            ),
            ["extra[0].port", "70000", "extra[1].port"],
        ),
        (
            "role = 'printum/portal'\nmode = 'enforce'",
            ["mode: enforce denies what is not documented and is not available"],
        ),
    ],
    ids=[
        "missing",
        "syntax",
        "no role",
        "role",
        "zone",
        "reserved",
        "overlap",
        "malformed",
        "ports",
        "enforce",
    ],
)
def test_a_wrong_configuration_names_every_fault_and_is_78(
    command: str, text: str | None, complaints: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "portguard.toml"
    if text is not None:
        path.write_text(text)
    done = run(command, "--config", str(path))

    assert done.returncode == 78, done.stderr
    for complaint in complaints:
        assert complaint in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def status(folder: Path, **changes: Any) -> Path:
    """Write a configuration whose status file holds a document."""
    document = {
        "schema": 1,
        "host": "srv1",
        "time": datetime.now(UTC).isoformat(),
        "role": ["printum/portal"],
        "mode": "heal",
        "manager": "nftables",
        "verdict": "warning",
        "summary": "all is well but one thing",
        "services": [
            {
                "flow": "printum/portal-web",
                "transport": "tcp",
                "port": 80,
                "ports": [80, 80],
                "direction": "inbound",
                "zone": "workstations",
                "need": "required",
                "listener": {
                    "state": "listening",
                    "address": "0.0.0.0",
                    "unit": "nginx.service",
                    "process": "nginx",
                    "pid": 9,
                },
                "path": {
                    "state": "blocked",
                    "by": {
                        "table": "inet site",
                        "chain": "input",
                        "handle": 4,
                        "text": "tcp dport 80 [drop]",
                    },
                    "reason": None,
                },
                "verdict": "critical",
            }
        ],
        "findings": [],
        "heals": [],
        "gaps": [],
        "daemon": {"pid": os.getpid(), "config_rejected": []},
        **changes,
    }
    statusfile.write(folder / "status.json", document)
    config = folder / "portguard.toml"
    config.write_text(f"[paths]\nstatus = '{folder}/status.json'\n")
    return config


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3)])
def test_the_exit_code_of_status_is_its_verdict(verdict: str, code: int, tmp_path: Path) -> None:
    done = run("status", "--config", str(status(tmp_path, verdict=verdict)))

    assert done.returncode == code
    assert done.stderr == ""
    assert "tcp dport 80 [drop]" in done.stdout
    assert "nginx.service" in done.stdout
    assert "\x1b" not in done.stdout


def test_status_as_json_is_the_document_itself(tmp_path: Path) -> None:
    done = run("status", "--json", "--config", str(status(tmp_path)))

    assert json.loads(done.stdout) == json.loads((tmp_path / "status.json").read_text())


def test_what_a_dead_daemon_knew_is_unknown(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = run("status", "--config", str(status(tmp_path, daemon={"pid": gone.pid})))

    assert done.returncode == 3
    assert "the daemon is not running" in done.stderr
    assert done.stdout == ""


def test_a_daemon_that_has_said_nothing_for_long_is_unknown(tmp_path: Path) -> None:
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    done = run("status", "--config", str(status(tmp_path, time=old)))

    assert done.returncode == 3
    assert "has written nothing" in done.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "does not exist"), ("{", "could not be read"), ('{"schema": 9}', "another version")],
)
def test_a_status_file_that_cannot_be_used_is_one_line_and_3(
    content: str | None, complaint: str, tmp_path: Path
) -> None:
    config = status(tmp_path)
    (tmp_path / "status.json").unlink()
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    done = run("status", "--config", str(config))

    assert done.returncode == 3
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_of_the_pipe_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    config = status(tmp_path)
    done = subprocess.run(
        f"{sys.executable} -m portguard catalogue --json --config {config} | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    statusfile.write(path, {"schema": 1, "n": 1})
    with pytest.raises(TypeError):
        statusfile.write(path, {"schema": 1, "n": object()})

    assert statusfile.read(path) == {"schema": 1, "n": 1}
    assert oct(path.stat().st_mode & 0o777) == "0o640"


def test_the_environment_says_where_the_status_is(tmp_path: Path) -> None:
    config = status(tmp_path)
    elsewhere = tmp_path / "elsewhere.json"
    (tmp_path / "status.json").rename(elsewhere)
    done = run("status", "--json", "--config", str(config), PORTGUARD_PATHS__STATUS=str(elsewhere))

    assert done.returncode == 1

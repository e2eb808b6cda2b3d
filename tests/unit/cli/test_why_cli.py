"""Questions to ``portguard why`` that make no sense end with one clear line, before the host is looked at."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from portguard.cli.app import main
from portguard.cli.output import console
from portguard.cli.why_view import show
from portguard.errors import ObserveError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a port, or --batch"),
        (["80", "--batch"], "give a port, or --batch"),
        (["99999"], "99999"),
        (["80/sctp"], "the transport is tcp or udp"),
        (["80-90"], "is a range"),
    ],
)
def test_wrong_port_is_a_usage_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", *arguments]) == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ("nonsense", "is not JSON"),
        ('{"port": 80}', "is not a list"),
        ("[80]", "is not a question"),
        ('[{"port": 80, "form": "10.1.0.7"}]', "'form' is no part of a question"),
        ('[{"from": "10.0.0.1"}]', "wants at least a port"),
        ('[{"port": 80, "transport": "sctp"}]', "the transport is tcp or udp"),
        ('[{"port": 80, "from": 5}]', "is not an address"),
    ],
)
def test_wrong_batch_is_a_usage_error(
    questions: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(questions))
    assert main(["why", "--batch"]) == 64
    assert said in capsys.readouterr().err


def test_a_configuration_that_was_named_must_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "80", "--config", str(tmp_path / "none.toml")]) == 64
    assert "does not exist" in capsys.readouterr().err


def test_without_the_rights_to_look_it_says_so_and_that_it_is_not_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused() -> None:
        raise ObserveError("cannot hear of ruleset changes: Operation not permitted")

    monkeypatch.setattr("portguard.cli.check.look", refused)
    monkeypatch.setattr("portguard.cli.why.CONFIG", tmp_path / "none.toml")
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    assert main(["why", "80", "--config", str(tmp_path / "none.toml")]) == 3
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "portguard: the firewall cannot be read without root: cannot hear of ruleset changes: Operation not permitted"
    ]


def test_a_configuration_that_cannot_be_seen_is_not_one_that_does_not_exist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.stat", refused)
    assert main(["why", "80"]) == 78
    assert capsys.readouterr().err.endswith("portguard.toml: Permission denied\n")


def test_an_answer_is_shown_with_rule_fix_and_what_it_would_open(capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"table": "inet f", "chain": "in", "handle": 7, "text": "ip saddr [10.0.0.0/8] drop"}
    answer = {
        "port": 80,
        "transport": "tcp",
        "from": "10.1.0.7",
        "to": "10.1.0.1",
        "listener": {"state": "absent", "address": None, "unit": None},
        "path": {"state": "dropped", "by": rule, "trail": [{**rule, "effect": "drop"}], "reason": None},
        "fix": {
            "owner": "nftables",
            "command": "nft insert rule x",
            "also_opens": ["10.2.0.0/16"],
            "then": rule,
        },
    }
    show(console(), json.loads(json.dumps(answer)))
    out = capsys.readouterr().out
    assert "80/tcp: nobody listens" in out
    assert "dropped  10.1.0.7 to 10.1.0.1" in out
    assert "by inet f in rule 7: ip saddr [10.0.0.0/8] drop" in out
    assert "smallest fix (nftables): nft insert rule x" in out
    assert "would also open it to 10.2.0.0/16" in out
    assert "would not be enough" in out

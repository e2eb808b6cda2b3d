"""``portguard clean`` on the real kernel: what is portguard's goes, and nothing else."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from portguard.cli.app import main
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel

THEIRS = """\
table inet filter {
	set portguard_allow4 {
		type ipv4_addr . inet_proto . inet_service
		flags interval
	}

	chain input {
		type filter hook input priority filter; policy drop;
		tcp dport 22 accept comment "ours: portguard:like"
		ip saddr . meta l4proto . th dport @portguard_allow4 accept
		tcp dport 23 drop
	}
}
table ip portguard {
	chain c {
		tcp dport 80 accept comment "portguard is fine"
	}
}
"""
OURS = """\
add table inet portguard
add chain inet portguard input { type filter hook input priority -10; }
add rule inet portguard input tcp dport 8010 accept comment "portguard:printum/portal"
add element inet filter portguard_allow4 { 10.1.0.0/16 . tcp . 8010 }
insert rule inet filter input tcp dport 8010 accept comment "portguard:printum/portal"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "portguard.toml"
    path.write_text(f'[paths]\nstatus = "{tmp_path}/status.json"\n')
    return path


def test_what_is_portguards_goes_and_nothing_else(netns: Netns, config: Path) -> None:
    netns.nft(THEIRS)
    before = netns.run("nft", "--stateless", "list", "ruleset")
    netns.nft(OURS)
    assert netns.run("nft", "--stateless", "list", "ruleset") != before

    assert main(["clean", "--config", str(config)]) == ExitCode.OK

    assert netns.run("nft", "--stateless", "list", "ruleset") == before


def test_a_second_time_finds_nothing(netns: Netns, config: Path) -> None:
    netns.nft(THEIRS, OURS)
    for _ in range(2):
        assert main(["clean", "--config", str(config)]) == ExitCode.OK


def test_a_dry_run_says_what_would_go_and_deletes_nothing(
    netns: Netns, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    netns.nft(THEIRS, OURS)
    before = netns.run("nft", "list", "ruleset")

    assert main(["clean", "--dry-run", "--config", str(config)]) == ExitCode.OK

    assert "delete table inet portguard" in capsys.readouterr().out
    assert netns.run("nft", "list", "ruleset") == before


def test_a_table_of_that_name_without_a_mark_is_somebody_elses(netns: Netns, config: Path) -> None:
    netns.nft("add table inet portguard", "add chain inet portguard c", "add rule inet portguard c accept")

    assert main(["clean", "--config", str(config)]) == ExitCode.OK

    assert "table inet portguard" in netns.run("nft", "list", "ruleset")


def test_it_is_refused_while_the_daemon_runs(
    netns: Netns, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    netns.nft(THEIRS, OURS)
    with (config.parent / "status.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["clean", "--config", str(config)]) == ExitCode.USAGE

    assert "systemctl stop portguard" in capsys.readouterr().err
    assert "table inet portguard" in netns.run("nft", "list", "ruleset")

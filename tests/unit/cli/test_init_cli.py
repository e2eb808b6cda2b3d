"""``portguard init``: prints without writing, writes one file, and never over a person's work."""

from __future__ import annotations

import ipaddress
import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from portguard.cli import init
from portguard.cli.app import main
from portguard.config import load_isolated
from portguard.core.proposal import Seen
from portguard.errors import ObserveError
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport
from portguard.model.policy import Manager
from portguard.model.snapshot import Gap

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "# everything commented out\n"


def listener(port: int, process: str) -> Listener:
    return Listener(
        transport=Transport.TCP,
        address=ipaddress.ip_address("0.0.0.0"),
        port=port,
        cookie=port,
        owner=Owner(process=process, unit=f"{process}.service"),
    )


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server with CUPS, and the configuration as it is shipped."""
    listeners = (listener(22, "sshd"), listener(631, "cupsd"))
    seen = Seen(listeners=listeners, links=None, manager=Manager.UFW, sensitive={}, admin=None)
    monkeypatch.setattr(init, "look", lambda: seen)
    path = tmp_path / "portguard.toml"
    path.write_text(MAIN)
    return path


def written(config: Path) -> Path:
    return config.parent / "conf.d" / "50-init.toml"


def test_prints_a_configuration_and_writes_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--config", str(config)]) == 0

    said = capsys.readouterr()
    assert 'role = ["cups/print-server"]' in said.out
    assert "ufw" in said.out
    assert "nothing is written" in said.err
    assert [path.name for path in config.parent.iterdir()] == ["portguard.toml"]


def test_what_is_printed_is_a_whole_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    config.write_text(capsys.readouterr().out)

    assert load_isolated(config).roles == ("cups/print-server",)


def test_writes_a_file_of_its_own_beside_the_shipped_one(config: Path) -> None:
    assert main(["init", "--write", "--config", str(config)]) == 0

    assert config.read_text() == MAIN
    assert load_isolated(config).roles == ("cups/print-server",)
    assert load_isolated(config).mode == "observe"
    assert stat.S_IMODE(written(config).stat().st_mode) == 0o644
    assert list(written(config).parent.iterdir()) == [written(config)]


def test_writes_the_main_file_where_there_is_none(config: Path) -> None:
    config.unlink()

    assert main(["init", "--write", "--config", str(config)]) == 0
    assert load_isolated(config).roles == ("cups/print-server",)


def test_its_own_file_may_be_replaced_and_an_edited_one_not(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--write", "--config", str(config)])
    assert main(["init", "--write", "--config", str(config), "--role", "papercut/primary"]) == 0
    assert load_isolated(config).roles == ("papercut/primary",)

    edited = written(config).read_text().replace("observe", "heal")
    written(config).write_text(edited)
    assert main(["init", "--write", "--config", str(config)]) == 64
    assert "was edited" in capsys.readouterr().err
    assert written(config).read_text() == edited

    assert main(["init", "--write", "--force", "--config", str(config)]) == 0
    assert load_isolated(config).mode == "observe"


@pytest.mark.parametrize("where", ["portguard.toml", "conf.d/10-ours.toml"])
def test_a_role_that_stands_elsewhere_is_not_overruled(
    where: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "conf.d").mkdir()
    (config.parent / where).write_text('role = "printum/portal"\n')

    assert main(["init", "--write", "--config", str(config)]) == 64
    assert "names a role already" in capsys.readouterr().err
    assert not written(config).exists()


def test_a_file_that_is_not_toml_stops_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("role = [\n")

    assert main(["init", "--write", "--config", str(config)]) == 78
    assert "is not TOML" in capsys.readouterr().err


def test_a_fault_of_the_result_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("mood = 1\n")

    assert main(["init", "--write", "--config", str(config)]) == 78
    assert "mood" in capsys.readouterr().err


def test_when_nothing_fits_it_says_what_to_do(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = Gap(scope="socket owners", reason="not permitted to see which process holds 3 listeners")
    seen = replace(init.look(), listeners=(listener(22, "sshd"),), gaps=(gap,))
    monkeypatch.setattr(init, "look", lambda: seen)

    assert main(["init", "--write", "--config", str(config)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no role fits" in said.err
    assert "printum/server: 22/tcp" in said.err
    assert "portguard init --role" in said.err
    assert "not permitted to see which process holds 3 listeners" in said.err
    assert not written(config).exists()


def test_json_has_the_evidence_and_the_text(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--json", "--config", str(config)]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["role"] == ["cups/print-server"]
    assert document["candidates"][0]["listening"] == ["631/tcp"]
    assert document["candidates"][0]["names"] == ["cupsd.service", "cupsd"]
    assert document["manager"] == "ufw"
    assert document["failsafe"] == [{"transport": "tcp", "port": 22}]
    assert document["path"] == str(written(config))
    assert not document["written"]
    assert 'role = ["cups/print-server"]' in document["text"]


def test_a_role_that_does_not_exist_is_a_usage_error(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--role", "cups/print-servr", "--config", str(config)]) == 64
    assert "did you mean cups/print-server" in capsys.readouterr().err


def test_listeners_that_cannot_be_read_are_no_empty_host(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> Seen:
        raise ObserveError("listeners: not permitted")

    monkeypatch.setattr(init, "look", refused)

    assert main(["init", "--config", str(config)]) == 3
    assert "not permitted" in capsys.readouterr().err

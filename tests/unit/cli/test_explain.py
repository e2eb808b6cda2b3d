"""The command ``portguard explain``, through its own argument parser."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import pytest

from portguard.cli import explain
from portguard.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

OWN = """\
schema = 1
product = "site"

[documents.900]
title = "Ports of the site's own product"

[documents.901]
title = "A newer release of the same"

[[component]]
id = "site/spooler"
title = "Spooler"

[[component]]
id = "site/manager"
title = "Manager"

[[flow]]
id = "site/spooler-jmx"
clients = ["admins"]
server = "site/spooler"
transport = "tcp"
ports = [60898]
application = "jmx"
need = "localhost"
setting = "site.spoolerJmxPort"
purpose = "State of the spooler"
sources = ["900:42", "901:21"]
disputes = ["site/manager-helper"]

[[flow]]
id = "site/manager-helper"
clients = ["admins"]
server = "site/manager"
transport = "tcp"
ports = [60899]
application = "jmx-rmi"
need = "localhost"
purpose = "Helper of the manager"
note = "Only the newer document has it"
sources = ["901:23"]

[[flow]]
id = "site/passive"
clients = ["printers", "site/manager"]
server = "site/spooler"
transport = "tcp"
ports = ["60000-65535"]
dynamic = true
application = "ftp-data"
need = "feature:ftp"
purpose = "Scans over FTP"
sources = ["900:91"]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a configuration and an own product with a dispute and a wide range."""
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "site.toml").write_text(OWN)
    path = tmp_path / "portguard.toml"
    path.write_text(f'[paths]\ncatalogue = "{tmp_path}/own"\n')
    return path


def call(config: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    explain.add_parser(parser.add_subparsers())
    args = parser.parse_args(["explain", "--config", str(config), *words])
    return int(args.run(args))


def test_jmx_is_explained_on_one_screen(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(config, "60898", "--role", "site/spooler") == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "60898: 1 documented flow uses it in the role site/spooler",
        "",
        "State of the spooler",
        "  port     60898 tcp, jmx",
        "  flow     site/spooler-jmx",
        "  server   Spooler (site/spooler)",
        "  clients  admins",
        "  need     localhost: JMX belongs on loopback; when others can reach it, that is",
        "           a finding",
        "  setting  site.spoolerJmxPort",
        "  says     900:42, 901:21",
        "  disputed 901:23: Helper of the manager, 60899/tcp at site/manager",
        "           (site/manager-helper)",
        "",
        "Inside 60000-65535/tcp of site/passive (900:91), from which ports are picked at",
        "run time: that documents no listener.",
        "",
        "900  Ports of the site's own product",
        "901  A newer release of the same",
    ]


def test_a_port_that_nothing_documents_exits_1_and_names_its_neighbours(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config, "6380/tcp", "--role", "printum/redis-sentinel") == 1
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [
        "6380/tcp: no document says what it is for in the role printum/redis-sentinel",
        "",
        "The nearest documented ports:",
    ]
    assert "  6379/tcp  printum/redis" in lines


def test_a_wide_range_documents_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(config, "61000", "--role", "site/spooler") == 1
    out = capsys.readouterr().out
    assert out.startswith("61000: no document says what it is for in the role site/spooler\n")
    assert "60899/tcp  site/manager-helper" in out


def test_source_ports_are_no_listeners(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(config, "40000", "--role", "printum/portal") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "Among the source ports 32768-60999 of printum/ephemeral-sources (000:46): never a listener." in text
    )


def test_a_port_that_everybody_uses_becomes_a_table(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = """
[[flow]]
id = "site/many-{0}"
clients = ["workstations"]
server = "site/manager"
transport = "tcp"
ports = [60777]
application = "https"
purpose = "Use number {0}"
sources = ["900:{1}"]
"""
    (tmp_path / "own" / "site.toml").write_text(OWN + "".join(flow.format(n, n + 1) for n in range(6)))
    assert call(config, "60777") == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "60777: 6 documented flows use it"
    assert sum("Use number" in line for line in lines) == 6
    assert max(map(len, lines)) <= 80


def test_role_narrows_to_both_directions(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(config, "443", "--role", "printum/portal", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [use["flow"]["id"] for use in document["uses"]] == [
        "printum/portal-web-tls",
        "printum/repository",
        "printum/cloud-edition",
    ]


def test_json_says_who_disputes_and_how_narrow_the_match_is(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config, "60899/tcp", "--role", "site/manager", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {key: document[key] for key in ("schema", "port", "transport", "role", "documented", "near")} == {
        "schema": 1,
        "port": 60899,
        "transport": "tcp",
        "role": "site/manager",
        "documented": True,
        "near": [],
    }
    assert [(use["match"], use["flow"]["id"], use["disputed_by"]) for use in document["uses"]] == [
        ("port", "site/manager-helper", ["site/spooler-jmx"]),
        ("dynamic", "site/passive", []),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "port 0 does not lie between 1 and 65535"),
        ("70000/tcp", "port 70000 does not lie between 1 and 65535"),
        ("web", "'web' is neither a port nor a range of ports such as 20-21"),
        ("80/sctp", "'80/sctp': the transport is tcp or udp"),
        ("80/", "'80/': the transport is tcp or udp"),
        ("20-21", "'20-21' is a range; explain takes one port"),
    ],
)
def test_what_is_no_port_is_refused(config: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        call(config, text)
    assert str(error.value) == message


def test_an_unknown_role_is_refused(config: Path) -> None:
    with pytest.raises(UsageError, match="no role 'site/spoolr'; did you mean site/spooler"):
        call(config, "80", "--role", "site/spoolr")


def test_9898_of_the_shipped_catalogue_fits_on_one_screen_and_says_loopback(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config, "9898") == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 24
    text = " ".join(out.split())
    for said in (
        "Spooler Controller: the centre of a site (safeq6/spooler-controller)",
        "JMX belongs on loopback",
        "safeq6.orsJmxServerPort",
        "001:43, 002:18, 002:21",
        "The documents waver",
    ):
        assert said in text


def test_9000_of_the_shipped_catalogue_shows_both_owners_and_the_dispute(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config, "9000/tcp", "--role", "safeq6/single-server", "--json") == 0
    uses = {
        use["flow"]["id"]: use
        for use in json.loads(capsys.readouterr().out)["uses"]
        if use["match"] == "port"
    }
    assert set(uses) == {"safeq6/management-jmx-rmi", "safeq6/spooler-controller-jmx-rmi"}
    assert "safeq6/management-jmx-rmi" in uses["safeq6/spooler-controller-jmx-rmi"]["disputed_by"]
    assert {use["flow"]["need"] for use in uses.values()} == {"localhost"}

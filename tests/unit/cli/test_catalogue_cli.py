"""The command ``portguard catalogue``, through its own argument parser."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import pytest

from portguard.catalogue import load, query
from portguard.cli import catalogue
from portguard.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

OWN = """\
schema = 1
product = "badge"

[documents.badge]
title = "Our badge server"

[[component]]
id = "badge/server"
title = "Badge server [first floor]"

[[flow]]
id = "badge/web"
clients = ["workstations"]
server = "badge/server"
transport = "tcp"
ports = [6380]
application = "https"
purpose = "Badges [all of them]"
sources = ["badge:1"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration whose folder of own products is empty."""
    (tmp_path / "own").mkdir()
    path = tmp_path / "portguard.toml"
    path.write_text(f'[paths]\ncatalogue = "{tmp_path}/own"\n')
    return path


def call(config: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    catalogue.add_parser(parser.add_subparsers())
    args = parser.parse_args(["catalogue", "--config", str(config), *words])
    return int(args.run(args))


def test_without_a_word_it_lists_documents_roles_and_components(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config) == 0
    bare = capsys.readouterr().out
    assert call(config, "list") == 0
    assert capsys.readouterr().out == bare
    for role in load.load().roles:
        assert role.id in bare


@pytest.mark.parametrize("words", [("--json",), ("list", "--json"), ("--json", "list")])
def test_json_is_the_whole_catalogue_wherever_the_option_stands(
    config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert call(config, *words) == 0
    assert json.loads(capsys.readouterr().out) == query.to_json(load.load())


@pytest.mark.parametrize("columns", ["80", "200"])
def test_show_prints_every_inbound_port_with_its_source(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert call(config, "show", "printum/printmanager") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= int(columns)
    assert "Inbound: 7 flows" in out
    for text in ("8010/tcp", "8080/tcp", "1631/tcp", "000:23", "s3.printum.io", "printum.clickhousePort"):
        assert text in out


def test_show_of_several_roles_is_their_union(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(config, "show", "printum/portal", "printum/redis-sentinel", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["components"] == ["printum/server", "printum/portal", "printum/redis-sentinel"]
    assert {flow["id"] for flow in document["inbound"]} == {
        "printum/portal-web",
        "printum/portal-web-tls",
        "printum/ssh",
        "printum/redis",
        "printum/redis-sentinel",
        "printum/ping-in",
    }


def test_show_of_an_unknown_role_names_near_misses(config: Path) -> None:
    with pytest.raises(UsageError, match="no role 'printum/portl'; did you mean printum/portal"):
        call(config, "show", "printum/portl")


def test_colours_are_for_terminals_only(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(config, "show", "printum/portal")
    assert "\x1b" not in capsys.readouterr().out


def test_check_says_what_a_right_file_would_add(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "badge.toml").write_text(OWN)
    assert call(config, "check", str(tmp_path / "badge.toml"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "faults": [],
        "adds": {
            "documents": ["badge"],
            "zones": [],
            "components": ["badge/server"],
            "roles": [],
            "flows": ["badge/web"],
            "reserved": [],
        },
    }
    assert call(config, "check", str(tmp_path / "badge.toml")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert lines == [
        ["documents", "badge"],
        ["components", "badge/server"],
        ["flows", "badge/web"],
    ]


def test_check_reports_every_fault_with_its_line_and_exits_78(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "badge.toml"
    path.write_text(
        OWN.replace("[6380]", "[70000]").replace('"workstations"', '"workstation"').replace("badge:1", "x")
    )
    assert call(config, "check", str(path)) == 78
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:13: flow[0].clients: no component or zone 'workstation'; did you mean workstations?",
        f"{path}:16: flow[0].ports[0]: port 70000 does not lie between 1 and 65535",
        f"{path}:19: flow[0].sources[0]: 'x' is not a document and a line such as \"000:19\"",
        f"{path}: 3 faults",
    ]
    assert call(config, "check", str(path), "--json") == 78
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert [fault["line"] for fault in faults] == [13, 16, 19]


def test_check_of_a_missing_file_is_a_fault_of_the_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config, "check", str(tmp_path / "none.toml")) == 78
    assert capsys.readouterr().err.splitlines()[0] == f"{tmp_path}/none.toml: No such file or directory"


def test_check_finds_an_id_that_the_shipped_catalogue_has(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "badge.toml"
    path.write_text(OWN.replace('id = "badge/web"', 'id = "printum/ssh"'))
    assert call(config, "check", str(path)) == 78
    assert "'printum/ssh' is defined twice" in capsys.readouterr().err


def test_check_replaces_the_installed_file_of_the_same_name(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "badge.toml").write_text(OWN)
    (tmp_path / "badge.toml").write_text(OWN.replace("6380", "6390"))
    assert call(config, "check", str(tmp_path / "badge.toml")) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/badge.toml: no fault"


def test_own_products_are_listed_and_their_text_is_never_markup(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "badge.toml").write_text(OWN)
    call(config, "list")
    assert "Badge server [first floor]" in capsys.readouterr().out
    call(config, "show", "badge/server")
    assert "Badges [all of them]" in capsys.readouterr().out


def test_a_fault_in_an_own_file_is_not_passed_over(config: Path, tmp_path: Path) -> None:
    (tmp_path / "own" / "badge.toml").write_text("schema = 1\nproduct = \ntitle = 1\n")
    with pytest.raises(ConfigError, match=r"own/badge\.toml:2: is not TOML"):
        call(config, "list")


def test_conf_d_overrides_the_folder_of_own_products(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "badge.toml").write_text(OWN)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10-site.toml").write_text(f'[paths]\ncatalogue = "{tmp_path}/elsewhere"\n')
    call(config, "list")
    assert "badge/server" in capsys.readouterr().out


def test_a_configuration_that_does_not_exist_means_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "LOCAL_CATALOGUE", tmp_path / "nothing")
    assert call(tmp_path / "none.toml", "list") == 0
    assert "printum/portal" in capsys.readouterr().out


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "portguard.toml").write_text("role = ")
    with pytest.raises(ConfigError, match=r"portguard\.toml: is not TOML"):
        call(tmp_path / "portguard.toml", "list")


def test_a_path_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "portguard.toml").write_text("[paths]\ncatalogue = 5\n")
    with pytest.raises(ConfigError, match=r"portguard\.toml: paths\.catalogue: must be a path"):
        call(tmp_path / "portguard.toml", "list")


def test_show_with_features_leaves_out_the_others_but_not_what_the_role_implies(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(config, "show", "printum/server", "--feature", "clickhouse", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["features"] == ["clickhouse"]
    assert {flow["need"] for flow in document["outbound"]} == {"required", "feature:clickhouse"}
    assert call(config, "show", "safeq6/spooler-only", "--feature", "none", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["features"] == ["server-spooling"] == document["roles"][0]["features"]


def test_show_with_an_unknown_feature_names_near_misses(config: Path) -> None:
    with pytest.raises(UsageError, match="no feature 'clickhous'; did you mean clickhouse"):
        call(config, "show", "printum/server", "--feature", "clickhous")


def test_show_explains_ports_that_two_components_want(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call(config, "show", "printum/printmanager", "cups/behind-printum", "cups/scheduler")
    out = capsys.readouterr().out
    assert [line.rstrip() for line in out[out.index("Ports that more than one") :].splitlines()] == [
        "Ports that more than one component wants",
        "  1631/tcp",
        "    cups/scheduler-behind-printum: Takes print jobs for Printum (required; 000:25)",
        "    printum/printmanager: Direct printing through the CUPS that PrintManager runs (required; 000:25)",
        "    Where both run, move one with the setting cups.portBehindPrintum.",
    ]


def test_clash_without_a_setting_needs_another_server_and_a_disputed_one_needs_neither(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = OWN[OWN.index("[[flow]]") :]
    second = flow.replace("badge/web", "badge/second").replace(
        'server = "badge/server"', 'server = "badge/other"'
    )
    other = '[[component]]\nid = "badge/other"\ntitle = "Other"\n\n'
    (tmp_path / "own" / "badge.toml").write_text(f"{OWN}\n{other}{second}")
    call(config, "show", "badge/server", "badge/other")
    assert capsys.readouterr().out.endswith(
        "    Where both run, one of them has to stand on another server.\n"
    )
    (tmp_path / "own" / "badge.toml").write_text(f'{OWN}\n{other}{second}disputes = ["badge/web"]\n')
    call(config, "show", "badge/server", "badge/other")
    assert capsys.readouterr().out.endswith(
        "    The documents disagree about the owner: only one of them has to listen.\n"
    )


def test_check_of_a_replacement_counts_names_that_only_the_file_itself_defines(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "badge.toml").write_text(OWN)
    role = '\n[[role]]\nid = "desk/all"\ntitle = "Desk"\ncomponents = ["badge/server"]\n'
    (tmp_path / "own" / "desk.toml").write_text(f'schema = 1\nproduct = "desk"\n{role}')
    assert call(config, "check", str(tmp_path / "own" / "badge.toml")) == 0
    assert "no fault" in capsys.readouterr().out

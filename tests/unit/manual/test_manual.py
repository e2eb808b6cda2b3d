"""The manual: complete, well-formed, and the same bytes from the same source."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from portguard.cli.app import COMMANDS
from portguard.config.schema import TABLES, Document, keys_of
from portguard.manual import __main__ as manual
from portguard.manual import commands, completion, parsers, roff, settings

ROOT = Path(__file__).parents[3]
SHIPPED = (ROOT / manual.SHIPPED).read_text(encoding="utf-8")
MADE: dict[str, Any] = {"date": "2026-11-21", "version": "1.2.3"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manual.write(tmp_path, SHIPPED, MADE["date"])
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section_with_every_option(name: str) -> None:
    page = commands.page(**MADE)
    (row,) = (one for one in parsers.commands() if one.name == name)

    section = page.split(f".SS portguard {roff.escaped(name)}\n")[1].split("\n.SS ")[0].split("\n.SH ")[0]

    assert roff.prose(row.description) in section
    for option in [*row.options, *(option for inner in row.commands for option in inner.options)]:
        for flag in option.flags:
            assert roff.bold(flag) in section
    assert "examples:" in section or name == "catalogue"


def test_help_is_quoted_with_its_default_filled_in() -> None:
    assert "%(" not in commands.page(**MADE)


def test_every_key_of_the_schema_is_in_the_page_with_its_default() -> None:
    page = settings.page(SHIPPED, **MADE)

    for path, table in TABLES.items():
        if path == ("failsafe", "inbound"):
            continue  # an entry of a list that is shown as a whole
        for key in keys_of(table):
            assert re.search(rf"^(\.SS )?\\fB({key} = |\[+{key}\]+)", page, re.MULTILINE), (path, key)
    assert 'mode = "observe"' in page
    assert Document.model_fields["mode"].default == "observe"


def test_text_cannot_be_taken_for_a_macro() -> None:
    assert roff.escaped(".SH x\n'q\\n --a") == "\\&.SH x\n\\&'q\\en \\-\\-a"


def test_what_is_written_has_no_date_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        manual.write(tmp_path / name, SHIPPED, MADE["date"])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_groff_has_no_complaint(folder: Path) -> None:
    """Where groff is installed; the build of the packages asks lintian in any case."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    for path in sorted(folder.glob("*.[0-9]")):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-Kutf8", str(path)], capture_output=True, text=True, check=True
        )
        assert done.stderr == "", path.name


def _complete(script: Path, *words: str) -> list[str]:
    """Ask bash what it would offer after these words; the last one is being written."""
    line = " ".join(f"'{word}'" for word in ("portguard", *words))
    previous = words[-2] if len(words) > 1 else "portguard"
    ask = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)};"
        f" _portguard portguard '{words[-1]}' '{previous}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-uec", ask], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("pl",), ["plan"]),
        (("plan", "--m"), ["--mode"]),
        (("catalogue", "s"), ["show"]),
        (("catalogue", "show", "--fe"), ["--feature"]),
        (("explain", "--role", ""), []),
        (("--ver",), ["--version"]),
    ],
)
def test_bash_completes(folder: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert _complete(folder / "portguard.bash", *words) == offered


def test_bash_completes_the_choices_of_an_option(folder: Path) -> None:
    (plan,) = (row for row in parsers.commands() if row.name == "plan")
    (mode,) = (option for option in plan.options if "--mode" in option.flags)

    assert "heal" in mode.choices
    assert _complete(folder / "portguard.bash", "plan", "--mode", "") == list(mode.choices)


def test_bash_completes_a_file_where_one_is_wanted(folder: Path) -> None:
    assert _complete(folder / "portguard.bash", "check", "--config", str(folder / "portguard.t")) == [
        str(folder / "portguard.toml.5")
    ]


def test_bash_knows_every_command() -> None:
    script = completion.script()
    assert all(f"' {name}') command={name} ;;" in script for name in COMMANDS)

"""The rules of the house, held against every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src/portguard").rglob("*.py"))
LONGEST = 350
"""Lines of a module; most have a third of that."""

SHARED = {"errors", "text", "model", ""}
"""May be imported by all: values, errors, words, and the package's version."""

ARROWS = {
    "model": set(),
    "errors": set(),
    "text": set(),
    "core": set(),
    "catalogue": set(),
    "exposure": set(),
    "alert": {"core"},
    "config": {"catalogue"},
    "kernel": set(),
    "daemon": {"alert", "catalogue", "config", "core", "exposure", "kernel"},
    "lab": {"alert", "catalogue", "config", "core", "daemon", "exposure", "kernel"},
    "cli": {"alert", "catalogue", "config", "core", "daemon", "exposure", "kernel", "lab"},
    "manual": {"alert", "cli", "config"},
    "__main__": {"cli"},
    "": set(),
}
"""What each room may import beside what is shared. ``alert`` knows the core's Alert, which is a value."""

THIRD_PARTY = {
    "nftables": {"kernel"},
    "psutil": {"kernel"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "pydantic_settings": {"config"},
    "watchdog": {"daemon"},
    "systemd": {"alert", "daemon"},
    "rich": {"cli", "lab"},
}

IMPURE = {"time", "os", "subprocess", "socket", "logging", "random", "sys", "pathlib", "io", "threading"}
"""The core and the model reach for none of these."""


def room(path: Path) -> str:
    parts = path.relative_to(ROOT / "src/portguard").with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Give every imported module, and whether only the type checker sees it."""
    tree = ast.parse(path.read_text())
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If)
        and isinstance(branch.test, ast.Name)
        and branch.test.id == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or "", node in typing_only


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    here = room(path)
    for name, _ in imports(path):
        top, _, rest = name.partition(".")
        if top == "portguard":
            there = rest.partition(".")[0]
            assert there in SHARED | ARROWS[here] | {here}, f"{here} must not import {name}"
        elif top in THIRD_PARTY:
            assert here in THIRD_PARTY[top], f"{top} must not be imported in {here}"
        elif top not in sys.stdlib_module_names:
            pytest.fail(f"{name} is on no list")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text()

    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if room(path) in {"core", "model"}],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_core_reaches_for_nothing_outside(path: Path) -> None:
    used = {name.partition(".")[0] for name, typing_only in imports(path) if not typing_only}
    allowed = {"pathlib"} if path.name in {"config.py", "paths.py"} else set()  # paths as values

    assert not used & (IMPURE - allowed)


def test_no_module_imports_in_a_circle_or_needs_root_to_be_imported() -> None:
    modules = [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.name != "__main__.py"
    ]
    for module in modules:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{module}: {done.stderr}"


def test_the_daemon_does_not_carry_what_it_does_not_need() -> None:
    code = (
        "import sys; import portguard.cli.run, portguard.daemon.loop, portguard.daemon.site, portguard.kernel.real,"
        " portguard.daemon.watch, portguard.alert.sink;"
        "print([name for name in ('pydantic', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

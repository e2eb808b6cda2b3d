"""Mistakes planted in the evaluation are found by its own tests: each of them once, in a copy of the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
TESTS = tuple(f"tests/unit/core/test_path_{name}.py" for name in ("cases", "unknown", "served"))

MISTAKES = {
    "priorities the wrong way round": ("core/path/hooks.py", "station.priority)", "-station.priority)"),
    "nat chains at their own priority": ("core/path/hooks.py", 'self.chain.type == "nat" else own', "False else own"),
    "a second translation": ("core/path/hooks.py", "done = packet.translated if", "done = False if"),
    "one translation for both ends": ("core/path/hooks.py", "else packet.masked", "else packet.translated"),
    "a map that holds everything": ("core/path/rules.py", 'return [Test(self._map(body["map"]["key"], body["map"]["data"]))]', "return []"),
    "a set that takes nothing out": ("core/path/lookup.py", "self.name in packet.emptied", "False"),
    "a full set takes more": ("core/path/rules.py", "if full else None", "if False else None"),
    "tracking too early": ("core/path/hooks.py", "CONNTRACK = -200", "CONNTRACK = -400"),
    "goto comes back like jump": ("core/path/walk.py", '(back if verdict.kind == "goto" else out)', "out"),
    "return goes on": ("core/path/walk.py", "back.append(flow)", "out.append(flow)"),
    "equal priority in order of registration": ("model/ruleset.py", "found.reverse()", "found.sort(key=len)"),
    "intervals without their end": ("core/path/constants.py", "low > high else ((low, high),)", "low > high else ((low, high - 1),)"),
    "a field that is absent matches": ("core/path/lookup.py", "if ABSENT in values:", "if False:"),
    "tcp reset for every protocol": ("core/path/rules.py", 'if code[0] == "tcp reset":\n            return [', "if False:\n            return ["),
    "families of reject confused": ("core/path/rules.py", '"ipv4" if code[0]', '"ipv6" if code[0]'),
    "v4-mapped addresses read as IPv6": ("core/reach.py", "str(mapped or listener.address)", "str(listener.address)"),
    "a translation that changes nothing": ("core/path/effects.py", "rewritten=_rewritten(", "rewritten=True or _rewritten("),
    "packets from port 0": ("core/path/headers.py", "((1, 65535),) if", "((0, 65535),) if"),
    "a limit that lets everything through": ("core/path/walk.py", "going.append(flow._replace(doubt=op.reason))\n                out.append(flow)", "going.append(flow)"),
    "a set that was not read is empty": ("core/path/lookup.py", "if self.unread:", "if False:"),
}  # fmt: skip


def run_tests(folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the evaluation's own tests in a copy of the project."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_without_a_mistake_the_tests_pass(copy: Path) -> None:
    done = run_tests(copy)
    assert done.returncode == 0, done.stdout.decode()[-2000:]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake: str, copy: Path) -> None:
    name, right, wrong = MISTAKES[mistake]
    path = copy / "src" / "portguard" / name
    text = path.read_text()
    assert right in text, "the place of the mistake has moved"
    path.write_text(text.replace(right, wrong, 1))
    done = run_tests(copy)
    assert done.returncode == 1, done.stdout.decode()[-2000:]

"""Libraries that the package for Debian 12 brings: found by its own portguard, by no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import portguard
from portguard.config import vendored

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the module be run once more, with a path that is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    monkeypatch.undo()
    importlib.reload(vendored)


def _installed(monkeypatch: pytest.MonkeyPatch, place: Path, *, brings: bool) -> list[str]:
    monkeypatch.setattr(portguard, "__file__", str(place / "portguard" / "__init__.py"))
    monkeypatch.setattr(Path, "is_dir", lambda path: brings and path == vendored.VENDOR)
    importlib.reload(vendored)
    return sys.path


@pytest.mark.usefixtures("again")
def test_the_package_looks_there_before_it_looks_into_debians_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _installed(monkeypatch, vendored.PACKAGES, brings=True)[0] == str(vendored.VENDOR)


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize(
    ("place", "brings"), [(Path("/home/me/portguard/src"), True), (vendored.PACKAGES, False)]
)
def test_a_checkout_and_a_package_that_brings_none_look_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, place: Path, brings: bool
) -> None:
    assert str(vendored.VENDOR) not in _installed(monkeypatch, place, brings=brings)

"""Where a configuration comes from: files and environment variables, merged, with the place of every value.

The order is ``portguard.toml``, then ``conf.d/*.toml`` beside it by name, then ``PORTGUARD_*``. Tables merge; a scalar
or a list replaces what came before.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portguard.config.lines import Place, lines_of
from portguard.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ENVIRONMENT = "environment"
"""File name of a fault in an environment variable."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One source: what it says, and where each part of it stands."""

    name: str
    data: Mapping[str, Any]
    lines: Mapping[Place, int] = field(default_factory=dict)
    variables: Mapping[Place, str] = field(default_factory=dict)
    """Environment variable by the place that it sets."""

    def fault(self, place: Place, message: str) -> Fault:
        """Make a fault of what is wrong at a place; it may lie deeper than what the source says."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.variables:
                path = self.variables[place[:length]] + spell(("", *place[length:]))
                return Fault(file=self.name, path=path, message=message)
            if place[:length] in self.lines:
                return Fault(
                    file=self.name, line=self.lines[place[:length]], path=spell(place), message=message
                )
        return Fault(file=self.name, path=spell(place), message=message)


def spell(place: Place) -> str:
    """Spell a place as a path, ``hosts."printum/monitoring"[0]``."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not step:
            continue
        else:
            quoted = step if _BARE_KEY.fullmatch(step) else f'"{step}"'
            text += f".{quoted}" if text or not place[0] else quoted
    return text


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """Lay one source over the other."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over(merged, layer.data)
    return merged


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def origin(layers: Iterable[Layer], place: Place) -> Layer:
    """Find the source that had the last word about a place; the first one for what nobody mentions."""
    found: list[tuple[Layer, Any]] = [(layer, layer.data) for layer in layers]
    first = found[0][0]
    found.reverse()
    for depth, step in enumerate(place):
        deeper = [(layer, inner[step]) for layer, inner in found if _has(inner, step)]
        if not deeper:
            return first if depth == 0 else found[0][0]
        # What is not a table hides everything below it.
        tables = [isinstance(inner, dict) for _, inner in deeper]
        found = deeper[: tables.index(False)] or deeper[:1] if False in tables else deeper
    return found[0][0]


def _has(value: object, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and step < len(value)
    return isinstance(value, dict) and step in value


@dataclass(slots=True, kw_only=True)
class Files:
    """Files as far as they could be read."""

    layers: list[Layer] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    """A hash object over the content of the files."""


def read_files(path: Path) -> Files:
    """Read the main file and ``conf.d/*.toml`` beside it; note a fault for each that cannot be used."""
    files = Files()
    _read(
        files, path, "does not exist; run `portguard init` or copy the example /etc/portguard/portguard.toml"
    )
    folder = path.parent / "conf.d"
    try:
        # Hidden names are what editors and package managers leave behind.
        names = sorted(item for item in folder.iterdir() if item.suffix == ".toml" and item.name[0] != ".")
    except FileNotFoundError:
        names = []
    except OSError as error:
        names = []
        files.faults.append(Fault(file=str(folder), path="", message=f"cannot be listed: {_reason(error)}"))
    for name in names:
        _read(files, name, "does not exist")
    return files


def _read(files: Files, path: Path, missing: str) -> None:
    name = str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        files.faults.append(Fault(file=name, path="", message=missing))
        return
    except OSError as error:
        files.faults.append(Fault(file=name, path="", message=_reason(error)))
        return
    take(files.digest, raw)
    files.paths.append(path)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        files.faults.append(Fault(file=name, line=line, path="", message=f"is not UTF-8: {error.reason}"))
        return
    try:
        data = tomllib.loads(text)
        lines = lines_of(text)
    except RecursionError:
        files.faults.append(Fault(file=name, path="", message="nests its lists or tables too deep"))
        return
    except ValueError as error:  # a TOMLDecodeError, or a number of too many digits
        files.faults.append(_syntax(name, text, str(error)))
        return
    files.layers.append(Layer(name=name, data=data, lines=lines))


def _syntax(name: str, text: str, message: str) -> Fault:
    where = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if where is None:
        return Fault(file=name, path="", message=f"is not TOML: {message}")
    line = int(where[1]) if where[1] else text.rstrip("\n").count("\n") + 1
    what = message[: where.start()]
    return Fault(file=name, line=line, path="", message=f"is not TOML: {what[:1].lower()}{what[1:]}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def take(digest: Any, content: bytes) -> None:
    """Add one piece to a hash so that no two lists of pieces look alike."""
    digest.update(len(content).to_bytes(8, "big"))
    digest.update(content)

"""How systemd starts a unit: its ``ExecStart=``, from the unit's own files.

A program that writes over its arguments cannot write over those.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from portguard.exposure.files import read_stream

FOLDERS = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Where systemd looks for units, the first before the others (systemd.unit(5)). All belong to root."""
_SIZE = 64 * 1024
_DROP_INS = 32
_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}\.service")
_PREFIXES = "@-:+!|"


def exec_start(unit: str, folders: tuple[str, ...] = FOLDERS) -> tuple[str, ...] | None:
    """Give the command of a service; None where its files do not tell, or tell of several."""
    if not _NAME.fullmatch(unit):
        return None
    template = re.sub(r"@[^.]*.*(?=\.service$)", "@", unit)
    instance = unit.partition("@")[2].removesuffix(".service")
    names = tuple(dict.fromkeys((unit, template)))
    text = next(
        (found for name in names for folder in folders if (found := _text(f"{folder}/{name}")) is not None),
        None,
    )
    if text is None:
        return None
    commands: list[str] = []
    for part in (text, *_drop_ins(names, folders)):
        for value in _values(part):
            commands = [*commands, value] if value else []
    if len(commands) != 1:
        return None
    return _words(commands[0], instance)


def _drop_ins(names: tuple[str, ...], folders: tuple[str, ...]) -> list[str]:
    """Texts of the drop-ins, in the order of their names; of two with one name, that of the first folder."""
    found: dict[str, str] = {}
    for name in names:
        for folder in folders:
            try:
                entries = sorted(Path(f"{folder}/{name}.d").glob("*.conf"))[:_DROP_INS]
            except OSError:
                continue
            for entry in entries:
                if entry.name not in found and (text := _text(str(entry))) is not None:
                    found[entry.name] = text
    return [text for _, text in sorted(found.items())]


def _text(path: str) -> str | None:
    try:
        # A unit may be a link into another of these folders: they are root's, as is what they link to.
        content, whole = read_stream(str(Path(path).resolve()), _SIZE)
    except (OSError, RuntimeError):
        return None
    return content.decode(errors="replace") if whole else None


def _values(text: str) -> list[str]:
    """Values of ``ExecStart=`` in ``[Service]``, in their order."""
    section, out = "", []
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line.partition("=")[0].strip() == "ExecStart":
            out.append(line.partition("=")[2].strip())
    return out


def _words(command: str, instance: str) -> tuple[str, ...] | None:
    """Split a command, and put in the name of the instance; None where it holds what only systemd knows."""
    try:
        words = shlex.split(command.lstrip(_PREFIXES))
    except ValueError:
        return None
    out = []
    for word in words:
        filled = re.sub(r"%([iI%])", lambda match: "%" if match[1] == "%" else instance, word)
        if "$" in filled or re.search(r"%[A-Za-z]", filled):
            return None
        out.append(filled)
    return tuple(out) or None

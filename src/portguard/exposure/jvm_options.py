"""What the options of a JVM open: JMX agents and debuggers, from every place that options can come from.

Places: the arguments, ``JAVA_TOOL_OPTIONS``, ``JDK_JAVA_OPTIONS``, ``_JAVA_OPTIONS``, argument files (``@file``,
``-XX:VMOptionsFile=``, ``-XX:Flags=``) and the agent's own file (``com.sun.management.config.file``). Where places contradict
each other the weakest setting counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from portguard.exposure.process import Process

VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "_JAVA_JDWP_OPTIONS")
_DEBUGGER_VARIABLE = "_JAVA_JDWP_OPTIONS"
"""What the debugger adds to its own options."""

_FILE = 64 * 1024
_FILES = 16
_TEXT = 128 * 1024
"""Characters of a variable or a file that are taken apart."""
_DEFINE = "-D"
_FLAGS_FILES = ("-XX:VMOptionsFile", "-XX:Flags")
_PREFIX = "com.sun.management."


@dataclass(frozen=True, slots=True, kw_only=True)
class Debugger:
    """A JDWP agent that waits for a debugger to connect."""

    port: int | None
    """None: one that the kernel picks."""
    restricted: bool
    """It has a list of addresses that may connect."""


@dataclass(slots=True, kw_only=True)
class JvmOptions:
    """What was found in all places together."""

    ports: set[int] = field(default_factory=set)
    """Of JMX registries."""
    rmi_ports: set[int] = field(default_factory=set)
    authenticate: bool = True
    tls: bool = True
    certificate: bool | None = None
    debuggers: list[Debugger] = field(default_factory=list)
    complete: bool = True
    """Every place could be read."""
    places: list[str] = field(default_factory=list)
    """Where something was found."""

    @property
    def debugger_anywhere(self) -> bool:
        """Whether some debugger listens on a port that the options do not give."""
        return any(debugger.port is None for debugger in self.debuggers)


def options_of(process: Process, counted: str = "") -> JvmOptions:
    """Read the options of a JVM; ``counted`` are those that its own counters give."""
    arguments = process.arguments()
    variables, all_read = process.environment(VARIABLES)

    def read(path: str) -> str | None:
        file = process.file(path, _FILE)
        return None if file is None else file.content.decode(errors="replace")

    collector = _Collector(read)
    collector.options.complete = arguments is not None and all_read
    collector.take("arguments", arguments or ())
    for name in VARIABLES:
        text = variables.get(name, "")
        if name == _DEBUGGER_VARIABLE:
            text = f"-agentlib:jdwp={text}" if text else ""
        collector.take(name, _words(text))
    collector.take("hsperfdata", _words(counted))
    return collector.options


class _Collector:
    """Goes through options and the files that they name, a bounded number of them."""

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self.options = JvmOptions()
        self._read = read
        self._files = 0
        self._seen: set[str] = set()

    def take(self, place: str, words: Iterable[str]) -> None:
        for word in words:
            if self._take(word, place) and place not in self.options.places:
                self.options.places.append(place)

    def _take(self, word: str, place: str) -> bool:
        """Take one option; says whether it was about what is looked for."""
        name, _, value = word.partition("=")
        if name.startswith(_DEFINE + _PREFIX):
            return self._property(name.removeprefix(_DEFINE + _PREFIX), value)
        if name == "-agentlib:jdwp" or (name.startswith("-agentpath:") and "jdwp" in name):
            return self._debugger(value)
        if word.startswith("-Xrunjdwp:"):
            return self._debugger(word.removeprefix("-Xrunjdwp:"))
        if name in _FLAGS_FILES:
            self._open(value, "options file")
        elif word.startswith("@") and len(word) > 1 and place != "argument file":
            # An argument file cannot name another one.
            self._open(word[1:], "argument file")
        return False

    def _open(self, path: str, place: str) -> None:
        if (text := self._text(path)) is not None:
            lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
            self.take(place, _words("\n".join(lines)))

    def _text(self, path: str) -> str | None:
        """Read a file once; one that cannot be read, or is one too many, leaves the picture incomplete."""
        if path in self._seen:
            return None
        self._seen.add(path)
        self._files += 1
        text = self._read(path) if self._files <= _FILES else None
        if text is None:
            self.options.complete = False
        return text

    def _property(self, name: str, value: str) -> bool:
        out = self.options
        match name:
            case "jmxremote.port":
                out.ports.update(_ports(value))
            case "jmxremote.rmi.port":
                out.rmi_ports.update(_ports(value))
            case "jmxremote.authenticate":
                out.authenticate &= value.strip().lower() != "false"
            case "jmxremote.ssl":
                out.tls &= value.strip().lower() != "false"
            case "jmxremote.ssl.need.client.auth":
                out.certificate = out.certificate is not False and value.strip().lower() == "true"
            case "config.file":
                text = self._text(value)
                for key, setting in _settings(text or ""):
                    if key.startswith(_PREFIX) and key != f"{_PREFIX}config.file":
                        self._property(key.removeprefix(_PREFIX), setting)
            case _:
                pass
        return True

    def _debugger(self, text: str) -> bool:
        settings = dict(part.partition("=")[::2] for part in text.split(","))
        if settings.get("server", "n") != "y" or settings.get("transport", "dt_socket") != "dt_socket":
            return False
        # host:port, *:port, [::1]:port or port alone; which address it is bound to is told by the kernel.
        found = _ports(settings.get("address", "").rpartition(":")[2])
        allowed = settings.get("allow", "*")
        self.options.debuggers.append(
            Debugger(port=next(iter(found), None), restricted="*" not in allowed.split("+"))
        )
        return True


def _ports(text: str) -> Iterator[int]:
    """Give the port that a text spells, if it does."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= 65535:
        yield int(text)


def _words(text: str) -> Iterator[str]:
    """Split as the JVM splits its variables and files: at white space, with quotes.

    Character by character: an expression would take the square of the time for quotes that never end.
    """
    word: list[str] | None = None
    quote = ""
    escaped = False
    for char in text[:_TEXT]:
        if escaped:
            escaped = False
        elif quote and char == "\\":
            escaped = True
            continue
        elif char == quote:
            quote = ""
            continue
        elif not quote and char in "\"'":
            quote, word = char, word or []
            continue
        elif not quote and char.isspace():
            if word is not None:
                yield "".join(word)
            word = None
            continue
        word = word or []
        word.append(char)
    if word is not None:
        yield "".join(word)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Read a Java properties file as far as the agent's settings need: lines of ``key=value``."""
    for raw in text[:_TEXT].replace("\\\r\n", "").replace("\\\n", "").splitlines():
        line = raw.strip()
        if line and line[0] not in "#!":
            ends = [end for end in map(line.find, "=: \t") if end >= 0]
            key = line[: min(ends, default=len(line))]
            yield key, line[len(key) :].lstrip().removeprefix("=").removeprefix(":").strip()

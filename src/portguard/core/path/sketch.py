"""What a rule shows at a glance, without being compiled: enough to pass it over for most packets.

Of ten thousand rules a question concerns a few. A sketch reads the tests at a rule's beginning that are plain comparisons
with constants; what it does not read limits nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.constants import Names, constant
from portguard.model.net import Intervals, intersect

if TYPE_CHECKING:
    from portguard.model.ruleset import Json, Rule

QUIET = frozenset({"counter", "log"})
"""Statements that decide nothing, change nothing and break a rule off at most where they look something up in a map."""
_PLAIN_ENDS = frozenset({"accept", "drop"})
_ENDS = frozenset({"accept", "drop", "return", "continue", "jump", "goto"})
_NUMBERED = {"tcp": "tcp", "udp": "udp", 6: "tcp", 17: "udp"}
_FAMILIES = {"ipv4": 4, "ipv6": 6}


class Sketch(NamedTuple):
    """Limits of what a rule can match, and its end where that is plain."""

    rule: Rule
    version: int | None = None
    """IP version of packets that it can match; None: either."""
    transport: str | None = None
    ports: Intervals | None = None
    """Destination ports; None: any."""
    names: frozenset[str] | None = None
    """Interfaces by which the packets come in; None: any."""
    verdict: tuple[str, str] | None = None
    """Kind and target of its only verdict; None: it has none, or more is to be known than is shown here."""
    plain: bool = False
    """It asks for nothing but source, protocol and port by constants, and then accepts or drops."""
    source: Json = None
    """The constant that a plain rule compares the source with; None: any source."""

    def sources(self) -> Intervals | None:
        """Read the sources that a plain rule names; None when the full compiler has to."""
        return _numbers(self.source, f"v{self.version}")


def sketch(rule: Rule) -> Sketch:
    """Look at a rule."""
    seen = _Seen()
    verdict: tuple[str, str] | None = None
    last = len(rule.expr) - 1
    for place, statement in enumerate(rule.expr):
        kind, body = _single(statement)
        if kind in QUIET and not (isinstance(body, dict) and "map" in body):
            continue
        if kind == "match" and seen.match(body):
            continue
        # A statement that is more than a comparison may do anything: nothing after it is a limit.
        if kind in _ENDS and place == last:
            target = body.get("target") if isinstance(body, dict) else ""
            verdict = (kind, str(target))
        break
    return Sketch(
        rule,
        seen.version,
        seen.transport,
        seen.ports,
        seen.names,
        verdict,
        seen.plain and verdict is not None and verdict[0] in _PLAIN_ENDS,
        seen.source,
    )


class _Seen:
    """Collects limits, test after test."""

    __slots__ = ("names", "plain", "ports", "source", "transport", "version")

    def __init__(self) -> None:
        self.version: int | None = None
        self.transport: str | None = None
        self.ports: Intervals | None = None
        self.names: frozenset[str] | None = None
        self.source: Json = None
        self.plain = True

    def match(self, body: Json) -> bool:
        """Take one comparison in; False when it is not one that can be looked at in passing."""
        if not isinstance(body, dict) or not _simple(body.get("right")):
            return False
        kind, left = _single(body.get("left"))
        if kind not in {"payload", "meta", "ct"} or not isinstance(left, dict):
            return False
        if body.get("op") != "==":
            self.plain = False
            return body.get("op") in {"!=", "in"}
        right = body["right"]
        if not (
            self._payload(left, right) if kind == "payload" else kind == "meta" and self._meta(left, right)
        ):
            self.plain = False
        return True

    def _payload(self, left: dict[str, Json], right: Json) -> bool:
        """Read a field of a header; says whether that is all there is to it."""
        protocol, field = left.get("protocol"), left.get("field")
        if protocol in {"ip", "ip6"}:
            version = 4 if protocol == "ip" else 6
            fits = self._version(version)
            if field != "saddr" or not fits or self.source is not None or _named(right):
                return False
            self.source = right
            return True
        if protocol in {"tcp", "udp"}:
            fits = self._transport(protocol)
            if field != "dport" or _named(right):
                return False
            ports = _numbers(right, "port")
            if ports is None:
                return False
            self.ports = ports if self.ports is None else intersect(self.ports, ports)
            return fits
        return False

    def _meta(self, left: dict[str, Json], right: Json) -> bool:
        key = left.get("key")
        if key == "l4proto" and isinstance(right, str | int) and right in _NUMBERED:
            return self._transport(_NUMBERED[right])
        if key == "nfproto" and isinstance(right, str) and right in _FAMILIES:
            return self._version(_FAMILIES[right])
        if key in {"iifname", "iif"} and not _named(right):
            read = constant(right, "name")
            if isinstance(read, Names) and not read.starts:
                self.names = read.exact if self.names is None else self.names & read.exact
        return False

    def _version(self, version: int) -> bool:
        """Limit to a version; False when the rule asks for both, which is left to the full compiler."""
        fits = self.version in {None, version}
        self.version = version
        return fits

    def _transport(self, transport: str) -> bool:
        fits = self.transport in {None, transport}
        self.transport = transport
        return fits


def _single(statement: Json) -> tuple[str, Json]:
    """Take an object with one key apart."""
    if isinstance(statement, dict) and len(statement) == 1:
        ((kind, body),) = statement.items()
        return kind, body
    return "", None


def _simple(right: Json) -> bool:
    """Whether a constant is of a shape that is sure to compile."""
    match right:
        case str() | int():
            return True
        case {"prefix": {"addr": str(), "len": int()}} | {"range": [str() | int(), str() | int()]}:
            return True
        case {"set": list() as members} | list(members):
            return all(_simple(member) for member in members)
        case _:
            return False


def _named(right: Json) -> bool:
    return isinstance(right, str) and right.startswith("@")


def _numbers(right: Json, kind: str) -> Intervals | None:
    """Read a constant as numbers; None for a catch-all or what else is not plain."""
    if kind == "port" and type(right) is int:
        return ((right, right),) if 0 <= right <= 0xFFFF else None
    found = constant(right, kind)
    return found if isinstance(found, tuple) else None

"""Spell an alert as a message and as journal fields.

``MESSAGE`` is a sentence, `` | ``, then ``key=value`` pairs in a fixed order: Wazuh and Debian's rsyslog see nothing else,
and their decoders rely on the order (``docs/events.md``). Everything that comes from outside (process names, units, rule
texts) may have been written by an attacker: control characters and ``|`` are taken out, secrets are redacted, length is capped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portguard.model.finding import Kind
from portguard.model.ruleset import Actor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.lifecycle import Alert

SCHEMA = 1
LONGEST = 256
"""Characters of a value that are kept."""

MESSAGE_IDS: dict[Kind, str] = {
    Kind.SERVICE_EXPOSED: "ef0f704da8a8493fbaf5820d54a6e4b1",
    Kind.RESERVED_ADDRESS_IN_USE: "73dafb675c0140bfaeecf695309e62cf",
    Kind.HEAL_FAILED: "07a3c74463bd4a7092492debe6f9695a",
    Kind.HEAL_INEFFECTIVE: "c2bad59705a54a788f910334e354acf6",
    Kind.HEAL_SUSPENDED: "27c8bdc3a2294154bf2458ea6385fc73",
    Kind.REQUIRED_PORT_BLOCKED: "238bd23b3cf44eb99cb228a2f1194289",
    Kind.LISTENER_MISSING: "af587188315a49eda8032d945f8ef4d3",
    Kind.VISIBILITY_DEGRADED: "2aef202a44454adb9e4295876b6b8a66",
    Kind.LISTENER_UNEXPECTED: "be866612a867430cb3b85784f89215bb",
    Kind.FLOW_WIDER: "aa08777601344553b7ebf63da1245e23",
    Kind.LISTENER_LOOPBACK_ONLY: "907278cfffb44dfd857603793e1c7dfa",
    Kind.RULE_REMOVED: "7666161aecba4d5d9bfa35e506946bd3",
    Kind.RULE_ALTERED: "16e5b4b0af4041ea94db471701e0bb64",
    Kind.RULE_HEALED: "d9c0dc793e0a42ab90fcb46b73166943",
    Kind.ROLE_UNDEFINED: "68ddb5e2385946f7982bc68b8dc1c408",
    Kind.ZONE_UNDEFINED: "2d4efa9074cf4b189067bff1e3294499",
    Kind.MODE_CHANGED: "5f1e0d46ef1a4f33ac543766454b1452",
    Kind.CONFIG_CHANGED: "992e980e12da434b90d01deb89d98c1b",
    Kind.CONFIG_REJECTED: "b2c03019bcd14d7884fed6f6e5ffdf62",
    Kind.HEARTBEAT: "a7f18c083bd84873a03f207683df4c93",
}
"""One fixed MESSAGE_ID per kind; never reused, never changed."""

FIELDS = (
    "EVENT", "STATE", "FINDING", "SEVERITY", "ROLE", "MODE", "TRANSPORT", "ADDRESS", "PORT", "SERVICE", "FLOW", "UNIT",
    "EXE", "TARGET_PID", "UID", "REACHABLE", "REACHABLE_FROM", "MANAGER", "ACTOR_COMM", "ACTOR_PID", "ACTOR_UNIT",
    "ACTOR_LOGINUID", "TOOK_MS", "COUNT", "FIRST_SEEN", "SCHEMA", "ACTOR_PARENTS", "ACTOR_LOGIN", "ACTOR_SESSION",
    "ACTOR_REMOTE", "ACTOR_EXE", "ACTOR_PACKAGE", "PARENT", "PACKAGE", "LOGINUID", "LOGIN", "SESSION", "REMOTE", "BY", "FIX",
)  # fmt: skip
"""Every field, in the order in which they stand in the message. A field without a value is left out."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029|]")
_SECRET = re.compile(
    # "without a password on 0.0.0.0" is how portguard itself says what is exposed (core/danger.py), and no secret. Only its very
    # words are let through: what a program was started with may read alike.
    r"(?i)(?!(?<=\ba )password (?:on|and|cannot) )"
    r"([\w.-]*(?:pass|secret|token|credential)[\w.-]*)(\s*[= ]\s*|\"\s*:\s*\")(\S+)"
)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,\[\]-]+")


def clean(value: object) -> str:
    """Make a value from outside safe for one line of a log."""
    text = _SECRET.sub(r"\1\2[redacted]", _CONTROL.sub(" ", str(value)))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def fields(alert: Alert, *, roles: tuple[str, ...], mode: str, manager: str) -> dict[str, str]:
    """Give the journal fields of an alert without their prefix, cleaned, in the promised order."""
    given = dict(_fields(alert, roles, mode, manager))
    return {name: clean(given[name]) for name in FIELDS if given.get(name) not in (None, "")}


def message(alert: Alert, values: dict[str, str]) -> str:
    """Spell the message: a sentence for people, then the pairs for machines."""
    prefix = {"resolved": "resolved: ", "reminder": "still: ", "flapping": "unsteady: "}
    kinds_that_end = alert.finding.kind is not Kind.RULE_HEALED
    head = prefix.get(alert.state.value, "") if kinds_that_end else ""
    # The sentence quotes rule texts and process names: it is cleaned as well, and may be longer than one value.
    sentence = _SECRET.sub(r"\1\2[redacted]", _CONTROL.sub(" ", head + alert.finding.message))[: 4 * LONGEST]
    return f"{sentence} | {' '.join(f'{name.lower()}={_quoted(value)}' for name, value in values.items())}"


def _quoted(value: str) -> str:
    """Quote a value as logfmt does where it holds anything but plain characters."""
    if _PLAIN.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', "'") + '"'


def _fields(alert: Alert, roles: tuple[str, ...], mode: str, manager: str) -> Iterator[tuple[str, object]]:
    finding = alert.finding
    evidence = finding.evidence
    yield "EVENT", finding.kind.value
    yield "STATE", alert.state.value
    yield "FINDING", finding.id
    yield "SEVERITY", finding.severity.value
    yield "ROLE", ",".join(roles)
    yield "MODE", mode
    yield "TRANSPORT", finding.transport
    yield "ADDRESS", finding.address
    yield "PORT", finding.port
    yield "SERVICE", evidence.get("service")
    yield "FLOW", finding.flow
    yield "UNIT", finding.unit
    yield "EXE", evidence.get("exe")
    yield "TARGET_PID", finding.pid
    yield "UID", evidence.get("uid")
    yield "REACHABLE", evidence.get("reachable")
    yield "REACHABLE_FROM", ",".join(evidence.get("reachable_from", ()))
    yield "MANAGER", evidence.get("manager") or manager
    actor = evidence.get("actor")
    if isinstance(actor, Actor):
        yield "ACTOR_COMM", actor.comm
        yield "ACTOR_PID", actor.pid
        yield "ACTOR_UNIT", actor.unit
        yield "ACTOR_LOGINUID", actor.loginuid
    yield "TOOK_MS", evidence.get("took_ms")
    yield "COUNT", alert.count
    yield "FIRST_SEEN", alert.since.isoformat(timespec="milliseconds")
    yield "SCHEMA", SCHEMA
    # What came later stands at the end: decoders count on the order of what was there before.
    if isinstance(actor, Actor):
        yield "ACTOR_PARENTS", ",".join(actor.parents)
        yield "ACTOR_LOGIN", actor.login
        yield "ACTOR_SESSION", actor.session
        yield "ACTOR_REMOTE", actor.remote
        yield "ACTOR_EXE", actor.exe
        yield "ACTOR_PACKAGE", actor.package
    for name in ("PARENT", "PACKAGE", "LOGINUID", "LOGIN", "SESSION", "REMOTE", "BY"):
        yield name, evidence.get(name.lower())
    fix = evidence.get("fix")
    if fix is not None and clean(fix) == fix:
        # Half a command, or one with a word taken out, is worse than none.
        yield "FIX", fix

"""What an alert says to people and machines, whatever an attacker names their process."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.alert.message import FIELDS, LONGEST, MESSAGE_IDS, clean, fields, message
from portguard.alert.sink import JournalSink, StreamSink
from portguard.core.danger import described
from portguard.core.lifecycle import Alert, AlertState
from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import Transport
from portguard.model.ruleset import Actor

SINCE = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


class Host:
    """What alerts say about the host."""

    roles = ("printum/all-in-one",)
    mode = "heal"
    manager = "nftables"


def alert(**changes: Any) -> Alert:
    given: dict[str, Any] = {
        "kind": Kind.SERVICE_EXPOSED,
        "severity": Severity.CRITICAL,
        "message": "Redis on 0.0.0.0:6390/tcp is reachable from workstations",
        "transport": Transport.TCP,
        "address": "0.0.0.0",
        "address_class": "wildcard",
        "port": 6390,
        "unit": "cache.service",
        "pid": 12,
        "evidence": {
            "service": "redis",
            "reachable": "yes",
            "reachable_from": ["workstations", "anyone else"],
        },
    }
    return Alert(finding=Finding(**{**given, **changes}), state=AlertState.FIRING, since=SINCE)


def line(one: Alert) -> str:
    return message(one, fields(one, roles=Host.roles, mode=Host.mode, manager=Host.manager))


def test_the_message_is_a_sentence_then_pairs_in_the_promised_order() -> None:
    assert line(alert()) == (
        "Redis on 0.0.0.0:6390/tcp is reachable from workstations | event=service_exposed state=firing "
        f"finding={alert().finding.id} severity=critical role=printum/all-in-one mode=heal transport=tcp "
        'address=0.0.0.0 port=6390 service=redis unit=cache.service target_pid=12 reachable=yes reachable_from="workstations,'
        'anyone else" manager=nftables count=1 first_seen=2026-11-21T09:30:00.000+00:00 schema=1'
    )


def test_the_actor_has_fields_of_its_own() -> None:
    one = alert(evidence={"actor": Actor(comm="nft", pid=3, unit="session-1.scope", loginuid=1000)})

    assert "actor_comm=nft actor_pid=3 actor_unit=session-1.scope actor_loginuid=1000" in line(one)


def test_an_alarm_has_the_rule_that_lets_them_in_and_the_command_that_closes_it() -> None:
    by = "inet site input: tcp dport 6000-7000 accept"
    fix = 'nft insert rule inet site input position 7 iifname != "lo" tcp dport 6390 drop'
    one = alert(evidence={"by": by, "fix": fix})
    values = fields(one, roles=Host.roles, mode=Host.mode, manager=Host.manager)

    assert (values["BY"], values["FIX"]) == (by, fix)
    assert line(one).endswith(
        f' schema=1 by="{by}" fix="{fix}"'.replace('"lo"', "'lo'"),
    )


@pytest.mark.parametrize(
    "fix", ["nft add rule ip t c " + "x" * LONGEST, "nft add rule ip t pass drop", "a | b"]
)
def test_a_command_that_could_not_be_told_in_full_is_not_told(fix: str) -> None:
    assert "fix=" not in line(alert(evidence={"fix": fix}))


@given(st.text(), st.text(), st.text())
def test_no_process_can_forge_a_field_or_a_line(comm: str, unit: str, text: str) -> None:
    one = alert(
        message=text, unit=unit, evidence={"actor": Actor(comm=comm), "exe": text, "by": text, "fix": comm}
    )
    written = line(one)

    assert len(written.splitlines()) <= 1
    assert written.count(" | ") == 1
    tail = written.partition(" | ")[2]
    keys = [key for key, _ in re.findall(r'([a-z_]+)=("[^"]*"|\S*)', tail)]
    assert keys == [name.lower() for name in FIELDS if name.lower() in keys]
    assert re.fullmatch(r'([a-z_]+=("(?:[^"])*"|[^\s"]+) ?)+', tail)


@given(st.text(min_size=LONGEST, max_size=4 * LONGEST))
def test_values_are_capped(text: str) -> None:
    assert len(clean(text)) <= LONGEST


def test_secrets_are_redacted() -> None:
    assert clean("redis-server --requirepass hunter2") == "redis-server --requirepass [redacted]"
    assert (
        clean("-Djavax.net.ssl.keyStorePassword=abc -x") == "-Djavax.net.ssl.keyStorePassword=[redacted] -x"
    )
    assert "hunter2" not in line(alert(message="redis --masterauth-token hunter2"))


@pytest.mark.parametrize("protection", Protection)
@pytest.mark.parametrize("application", Application)
def test_what_is_exposed_and_how_it_is_protected_is_told_in_full(
    application: Application, protection: Protection
) -> None:
    what = described(Exposure(application=application, protection=protection))
    sentence = f"{what} on 0.0.0.0:6390 (redis-server, unit cache.service), reachable from anyone"

    assert line(alert(message=sentence)).startswith(f"{sentence} | ")


def test_a_secret_that_follows_such_words_is_redacted_all_the_same() -> None:
    assert "hunter2" not in clean("a password=hunter2")
    assert "hunter2" not in clean("--note a password hunter2")
    assert "hunter2" not in clean("a password: on, requirepass hunter2")


def test_every_kind_has_a_message_id_of_its_own() -> None:
    assert set(MESSAGE_IDS) == set(Kind)
    assert len(set(MESSAGE_IDS.values())) == len(Kind)
    assert all(re.fullmatch(r"[0-9a-f]{32}", value) for value in MESSAGE_IDS.values())


def test_the_journal_gets_the_message_and_every_field() -> None:
    sent: dict[str, Any] = {}

    def send(text: str, **given: Any) -> None:
        sent.update(given, MESSAGE=text)

    JournalSink(send).send(alert(), Host())

    assert sent["MESSAGE"].startswith("Redis on")
    assert sent["PRIORITY"] == 2
    assert sent["SYSLOG_IDENTIFIER"] == "portguard"
    assert sent["MESSAGE_ID"] == MESSAGE_IDS[Kind.SERVICE_EXPOSED]
    assert sent["PORTGUARD_EVENT"] == "service_exposed"
    assert sent["PORTGUARD_PORT"] == "6390"
    assert sent["PORTGUARD_REACHABLE_FROM"] == "workstations,anyone else"
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) for name in sent)


def test_without_a_journal_it_is_one_readable_line() -> None:
    stream = io.StringIO()

    StreamSink(stream).send(alert(), Host())

    assert stream.getvalue().startswith("critical Redis on 0.0.0.0:6390/tcp")
    assert stream.getvalue().count("\n") == 1


def test_a_closed_stream_does_not_stop_the_guard() -> None:
    stream = io.StringIO()
    stream.close()

    StreamSink(stream).send(alert(), Host())


def test_alerts_wait_in_order_while_the_journal_is_away() -> None:
    sent: list[str] = []
    away = True

    def send(text: str, **_: Any) -> None:
        if away:
            raise ConnectionRefusedError
        sent.append(text)

    sink = JournalSink(send)
    sink.send(alert(message="first"), Host())
    sink.send(alert(message="second"), Host())
    assert sent == []

    away = False
    sink.flush()
    sink.flush()

    assert [text.partition(" | ")[0] for text in sent] == ["first", "second"]


def test_the_docs_name_every_kind_with_its_message_id_and_every_field() -> None:
    text = (Path(__file__).parents[3] / "docs/events.md").read_text()

    for kind, message_id in MESSAGE_IDS.items():
        assert re.search(rf"\| `{kind.value}` \|.*\| `{message_id}` \|", text)
    assert ", ".join(f"`{name}`" for name in FIELDS) in text

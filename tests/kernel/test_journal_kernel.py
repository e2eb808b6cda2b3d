"""systemd-python's own library delivers every field; a socket of the test's own stands where journald would listen."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from portguard.alert.message import FIELDS, MESSAGE_IDS
from portguard.model.finding import Kind

pytestmark = pytest.mark.kernel

SENDER = """
import json, os, socket, sys
from datetime import UTC, datetime
from portguard.alert.sink import JOURNAL, JournalSink, StreamSink, open_sink
from portguard.core.lifecycle import Alert, AlertState
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import Transport
from portguard.model.ruleset import Actor

assert isinstance(open_sink(), StreamSink)
os.makedirs(os.path.dirname(JOURNAL))
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind(JOURNAL)
journal.settimeout(5)

class Host:
    roles, mode, manager = ("printum/all-in-one",), "heal", "nftables"

sink = open_sink()
assert isinstance(sink, JournalSink)
evil = "x\\nPRIORITY=0\\nMESSAGE=forged"
finding = Finding(kind=Kind.SERVICE_EXPOSED, severity=Severity.CRITICAL, message="Redis " + evil, transport=Transport.TCP,
                  address="0.0.0.0", port=6390, unit=evil, evidence={"service": "redis", "actor": Actor(comm=evil, pid=3)})
sink.send(Alert(finding=finding, state=AlertState.FIRING, since=datetime.now(UTC)), Host())
fields, data = {}, journal.recv(65536)
while data:
    name, _, rest = data.partition(b"\\n")
    if b"=" in name:
        key, _, value = name.partition(b"=")
        data = rest
    else:
        key, size = name, int.from_bytes(rest[:8], "little")
        value, data = rest[8:8 + size], rest[9 + size:]
    fields.setdefault(key.decode(), []).append(value.decode())
print(json.dumps(fields))
"""


def test_the_journal_gets_every_field_once_and_nobody_can_forge_one() -> None:
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            'mount -t tmpfs t /run && exec "$0" -c "$1"',
            sys.executable,
            SENDER,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    fields = json.loads(done.stdout)

    assert all(len(values) == 1 for values in fields.values())
    assert fields["PRIORITY"] == ["2"]
    assert fields["MESSAGE_ID"] == [MESSAGE_IDS[Kind.SERVICE_EXPOSED]]
    assert fields["SYSLOG_IDENTIFIER"] == ["portguard"]
    assert fields["MESSAGE"][0].startswith(
        "Redis x PRIORITY=0 MESSAGE=forged | event=service_exposed state=firing "
    )
    assert fields["PORTGUARD_PORT"] == ["6390"]
    assert fields["PORTGUARD_UNIT"] == ["x PRIORITY=0 MESSAGE=forged"]
    ours = {name.removeprefix("PORTGUARD_") for name in fields if name.startswith("PORTGUARD_")}
    assert ours <= set(FIELDS)

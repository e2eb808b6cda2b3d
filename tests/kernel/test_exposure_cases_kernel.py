"""Every way of opening Redis, JMX and debuggers that docs/exposure.md lists, with the real servers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from exposure_cases import JVMS, REDIS, Case
from exposure_cases import table as cases_table
from exposure_servers import BOOKWORM, ROOT, TRIXIE, Server, listening, started
from guarded_host import GuardedHost, guarded_host
from other_services import PACKAGES, SERVICES

from namespaces import MAIN, namespace
from portguard.core.danger import TABLE
from portguard.exposure.exposures import Exposures
from portguard.exposure.process import Process
from portguard.exposure.redis import judge_redis
from portguard.kernel.sockets import SocketTable
from portguard.model.exposure import Protection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namespaces import Netns
    from portguard.model.exposure import Exposure
    from portguard.model.listener import Listener

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("netns")]


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    with guarded_host(netns, tmp_path) as guarded:
        yield guarded


def found(servers: list[Server]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """What one reading of all processes says, and what it has to say, by case and port."""
    table = SocketTable()
    try:
        listeners = table.listeners()
        known = Exposures(time.monotonic).of(listeners)
    finally:
        table.close()
    seen: dict[str, dict[str, str]] = {}
    for server in servers:
        mine = [row for row in listeners if row.owner.pid == server.process.pid and not row.loopback]
        assert {row.port for row in mine} <= listening(server.process.pid)
        seen[server.case.name] = by_port(server, mine, known)
    return seen, {server.case.name: dict(server.case.expected) for server in servers}


def by_port(server: Server, mine: list[Listener], known: Mapping[int, Exposure]) -> dict[str, str]:
    """Say in the words of a case what its sockets were found to be."""
    words: dict[str, set[tuple[int, str]]] = {}
    for row in mine:
        exposure = known.get(row.cookie)
        if exposure is not None:
            said = f"{exposure.application} {exposure.protection}"
            words.setdefault(server.name(row.port), set()).add((row.port, said))
    return {port: ", ".join(sorted(said for _, said in pairs)) for port, pairs in words.items()}


def alarms(host: GuardedHost, servers: list[Server]) -> tuple[dict[str, str], dict[str, str]]:
    """Severity of each alarm that one judgement raises, and that it has to raise, by case, port and application.

    Nobody documents these ports, and no firewall shuts them.
    """
    findings = json.loads(host.command("check", "--json", "--config", str(host.config)).stdout)["findings"]
    serving = {port: server for server in servers for port in listening(server.process.pid)}
    raised = {
        f"{server.case.name}: {server.name(row['port'])} {row['evidence']['service']}": row["severity"]
        for row in findings
        if row["kind"] == "service_exposed" and (server := serving.get(row["port"])) is not None
    }
    expected = {
        f"{server.case.name}: {port} {application}": TABLE[Protection(protection)].undocumented.value
        for server in servers
        for port, said in server.case.expected.items()
        for application, protection in (one.split(" ") for one in said.split(", "))
        if application not in {"jvm", "jmx-local"}
    }
    return raised, expected


def test_the_documentation_lists_every_case() -> None:
    text = (ROOT / "docs" / "exposure.md").read_text()

    assert cases_table(JVMS) in text
    assert cases_table(REDIS) in text


def test_a_jvm_is_found_in_every_way_of_opening_it_and_in_none_of_not_opening_it(
    host: GuardedHost, tmp_path: Path
) -> None:
    with started(JVMS, tmp_path, "java") as servers:
        seen, expected = found(servers)
        raised, due = alarms(host, servers)

    assert seen == expected
    assert raised == due


def test_redis_of_debian_12_is_found_however_it_is_run(host: GuardedHost, tmp_path: Path) -> None:
    with started(REDIS, tmp_path, "redis-server") as servers:
        seen, expected = found(servers)
        raised, due = alarms(host, servers)

    assert seen == expected
    assert raised == due


def debian(release: str, root: Path, *packages: str) -> Path:
    """Make a Debian that has these packages, once. It needs the network: nobody may be in a namespace yet."""
    assert namespace() == MAIN
    subprocess.run([ROOT / "scripts" / "debian-root", release, root, *packages], check=True)
    return root


@contextmanager
def folder_in(root: Path) -> Iterator[Path]:
    """Make a folder that processes inside see as well."""
    folder = Path(tempfile.mkdtemp(dir=root / "tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def debian_12_services() -> Path:
    return debian("bookworm", BOOKWORM, *PACKAGES)


@pytest.fixture(scope="session")
def debian_13_servers() -> Path:
    return debian("trixie", TRIXIE, "redis-server", "valkey-server")


def test_no_other_service_is_taken_for_one_of_them(debian_12_services: Path, host: GuardedHost) -> None:
    with (
        folder_in(debian_12_services) as folder,
        started(SERVICES, folder, "", root=debian_12_services) as servers,
    ):
        ports = {server.case.name: listening(server.process.pid) for server in servers}
        seen, _ = found(servers)
        raised, _ = alarms(host, servers)

    assert len(ports) == 20
    assert all(ports.values())
    assert not any(seen.values())
    assert not raised


@pytest.mark.parametrize("kind", ["redis-server", "valkey-server"])
def test_redis_and_valkey_of_debian_13_are_found_however_they_are_run(
    debian_13_servers: Path, kind: str
) -> None:
    with (
        folder_in(debian_13_servers) as folder,
        started(REDIS, folder, kind, root=debian_13_servers) as servers,
    ):
        seen, expected = found(servers)

    assert seen == expected


IN_UNITS = {
    "--port {0} --bind 0.0.0.0 --protected-mode no --save '' --dir {folder}": "none",
    "--port {0} --bind 0.0.0.0 --requirepass hunter2 --save '' --dir {folder}": "password",
    "--port {0} --save '' --dir {folder}": "refuses-strangers",
    "{folder}/redis.conf": "password",
}
"""Redis with its usual title, which hides everything: its unit tells what it was started with."""


def test_what_a_title_hides_is_read_from_the_unit(tmp_path: Path) -> None:
    cases = tuple(
        Case(
            name=protection + options[:6],
            options=options,
            expected={"0": f"redis {protection}"},
            files={"redis.conf": "port {0}\nbind 0.0.0.0\nrequirepass hunter2\nsave ''\n"},
        )
        for options, protection in IN_UNITS.items()
    )
    with started(cases, tmp_path, "redis-server") as servers:
        table = SocketTable()
        seen = {}
        for server in servers:
            mine = [row for row in table.listeners() if row.owner.pid == server.process.pid]
            in_unit = [replace(row, owner=replace(row.owner, unit="cache.service")) for row in mine]
            command = ("/usr/bin/redis-server", *shlex.split(server.words))
            with Process(server.process.pid) as process:
                threads = process.threads(24)
                known = judge_redis(process, in_unit, threads, lambda _, command=command: command)  # type: ignore[misc]
            seen[server.case.name] = by_port(server, in_unit, known)
            assert {exposure.evidence[0] for exposure in known.values()} == {"unit cache.service"}
        table.close()

    assert seen == {case.name: dict(case.expected) for case in cases}


def test_a_file_that_was_edited_since_the_start_proves_no_password(tmp_path: Path) -> None:
    case = Case(
        name="edited",
        options="{folder}/redis.conf --set-proc-title no",
        expected={"0": "redis unknown"},
        files={"redis.conf": "port {0}\nbind 0.0.0.0\nprotected-mode no\nsave ''\n"},
    )
    with started((case,), tmp_path, "redis-server") as servers:
        conf = tmp_path / "case0" / "redis.conf"
        conf.write_text(f"{conf.read_text()}requirepass hunter2\n")
        later = time.time() + 60
        os.utime(conf, (later, later))
        seen, expected = found(servers)

    assert seen == expected


UNPRIVILEGED = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all,+sys_ptrace,+dac_read_search", "--ambient-caps=-all,+sys_ptrace,+dac_read_search",
)  # fmt: skip
"""What the unit gives the daemon, as far as reading goes."""

LOOK = """
import json, time
from portguard.exposure.exposures import Exposures
from portguard.kernel.sockets import SocketTable
known = Exposures(time.monotonic).of(SocketTable().listeners())
print(json.dumps(sorted(f"{row.application} {row.protection}" for row in known.values())))
"""


def test_the_daemons_own_user_sees_as_much_as_root(tmp_path: Path) -> None:
    hidden = [case for case in JVMS if "hsperfdata" in case.name or "jcmd" in case.name]
    with started(hidden, tmp_path, "java"):
        everything, *less = (
            json.loads(
                subprocess.run(
                    [*through, sys.executable, "-c", LOOK], check=True, capture_output=True, text=True
                ).stdout
            )
            for through in ((), UNPRIVILEGED)
        )

    assert "jmx none" in everything
    assert less == [everything]

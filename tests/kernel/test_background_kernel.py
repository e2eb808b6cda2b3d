"""Who did it, in full: real commits by programs started in many ways, and what is found out about them."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.kernel import attribution
from portguard.kernel.attribution import actor
from portguard.kernel.audit import AuditLog
from portguard.kernel.background import Background, ancestors
from portguard.kernel.events import NftEvents
from portguard.kernel.nft import Nft
from portguard.kernel.owners import describe
from portguard.kernel.process import Process, parse_stat, since_boot
from portguard.model.ruleset import TableKey
from portguard.model.transaction import TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns
    from portguard.model.ruleset import Actor

pytestmark = pytest.mark.kernel

NFT = "/usr/sbin/nft"
ADD = "add table ip foreign\n"


@pytest.fixture
def heard(netns: Netns) -> Iterator[NftEvents]:  # noqa: ARG001 - the namespace it is opened in
    with closing(Nft()) as firewall, closing(NftEvents(firewall)) as opened:
        yield opened


@pytest.fixture
def background(tmp_path: Path) -> Background:
    """One that asks this host's dpkg, and nobody else."""
    return Background(audit=AuditLog(str(tmp_path / "none")), sessions=str(tmp_path))


@contextmanager
def committing(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that ends in an ``nft -i``, tell that to add a table, and keep it until the end of the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
        assert running.stdin is not None
        running.stdin.write(ADD)
        running.stdin.flush()
        try:
            yield running
        finally:
            running.stdin.close()
            running.wait(timeout=10)


def committed(heard: NftEvents) -> Actor:
    """Take the next change, as soon as it is there."""
    assert select.select([heard.fileno()], [], [], 10)[0], "nothing was committed"
    (change,) = heard.read().changes
    assert not change.own
    return change.actor


def test_a_commit_from_a_shell_names_the_shell_the_program_and_its_package(
    heard: NftEvents, background: Background
) -> None:
    with committing("sh", "-c", f"{NFT} -i; true") as shell:
        found = background.complete(committed(heard))

    own_name = Path("/proc/self/comm").read_text().strip()
    assert (found.comm, found.parent, found.parent_pid) == ("nft", "sh", shell.pid)
    assert found.parents[:2] == ("sh", own_name)
    assert found.exe == os.path.realpath(NFT)
    assert found.package == "nftables"


def test_a_deep_chain_of_parents_is_followed_so_far_and_no_further(
    heard: NftEvents, background: Background, tmp_path: Path
) -> None:
    program = (
        "import os, sys\n"
        "if int(sys.argv[1]):\n"
        "    child = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, str(int(sys.argv[1]) - 1)])\n"
        f"else:\n    os.spawnv(os.P_WAIT, '{NFT}', ['nft', '-i'])\n"
    )
    script = tmp_path / "deep.py"
    script.write_text(program)
    with committing("python3", str(script), "11"):
        found = background.complete(committed(heard))

    assert found.comm == "nft"
    assert len(found.parents) == 8
    assert set(found.parents) == {"python3"}


def test_a_renamed_program_has_its_own_path_and_no_package(
    heard: NftEvents, background: Background, tmp_path: Path
) -> None:
    """The name in an announcement is anybody's to choose; the path is the kernel's."""
    renamed = tmp_path / "portguard"
    shutil.copy(NFT, renamed)
    with committing(str(renamed), "-i"):
        found = background.complete(committed(heard))

    assert (found.comm, found.exe, found.package) == ("portguard", str(renamed), None)


def test_a_program_put_in_the_place_of_another_is_not_taken_for_the_packages(background: Background) -> None:
    """The path alone proves nothing: the file that runs has to be the one that is there."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as running, Process(running.pid) as process:
        path = process.program()
        assert path is not None
        assert process.runs(path)
        assert not process.runs(NFT)
        assert not process.runs("/nowhere")
        running.communicate()

    assert background.package(path) == "coreutils"


def test_a_thread_that_commits_is_told_as_its_process(heard: NftEvents, background: Background) -> None:
    def commit() -> None:
        with closing(Nft()) as other:
            other.commit(Transaction(operations=(TableOp(verb=Verb.ADD, table=TableKey("ip", "foreign")),)))
            done.wait(10)

    done = threading.Event()
    thread = threading.Thread(target=commit)
    thread.start()
    try:
        found = background.complete(committed(heard))
    finally:
        done.set()
        thread.join()

    assert found.pid == os.getpid()
    assert found.exe == os.path.realpath("/proc/self/exe")


def test_a_program_that_ended_at_once_is_named_and_nothing_is_guessed(
    netns: Netns, heard: NftEvents, background: Background
) -> None:
    netns.nft(ADD)
    found = background.complete(committed(heard))

    assert found.comm == "nft"
    assert found.pid
    assert (found.parents, found.exe, found.package, found.loginuid, found.remote) == (
        (),
        None,
        None,
        None,
        None,
    )


def test_of_one_shot_programs_the_parent_is_right_or_unknown(
    heard: NftEvents, background: Background
) -> None:
    """They race with the reader: whichever wins, nobody else is blamed."""
    for number in range(20):
        verb = "add" if number % 2 == 0 else "delete"
        with subprocess.Popen(["sh", "-c", f"{NFT} {verb} table ip foreign; true"]) as shell:
            found = background.complete(committed(heard))
            shell.wait(timeout=10)
        assert found.comm == "nft"
        assert found.parent in ("sh", None)
        assert found.exe in (os.path.realpath(NFT), None)


# --- numbers are given again ------------------------------------------------------------------------------------------


def test_a_process_that_began_after_the_change_did_not_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as later:
        try:
            pid = later.pid
            _is_called(pid, "sleep")
            assert actor(pid, "sleep").started is not None
            before = since_boot() - 60
            monkeypatch.setattr(attribution, "since_boot", lambda: before)
            found = actor(pid, "sleep")
        finally:
            later.kill()

    assert (found.pid, found.comm, found.started, found.exe) == (pid, "sleep", None, None)


def test_a_parent_that_began_after_its_child_is_somebody_else() -> None:
    own = parse_stat(Path("/proc/self/stat").read_text())
    assert own is not None
    assert next(stat for _, stat in ancestors(os.getpid(), own.started)) == own
    assert list(ancestors(os.getpid(), own.started - 1)) == []


def test_a_process_that_ends_while_it_is_read_is_not_mixed_with_another() -> None:
    with subprocess.Popen(["sleep", "60"]) as running, Process(running.pid) as process:
        assert process.stat() is not None
        running.kill()
        running.wait(timeout=10)
        assert process.stat() is None
        assert process.text("cgroup") == ""
        assert process.program() is None
        assert process.number("loginuid") is None


@pytest.mark.parametrize(
    ("text", "comm"),
    [
        ("7 (a b) S 1 " + "0 " * 17 + "500 0", "a b"),
        ("7 (x) S 9 (y) S 1 " + "0 " * 17 + "500 0", "x) S 9 (y"),
        ("7 (unfinished S 1 2", None),
        ("", None),
        ("7 (a) S 1 2 3", None),
    ],
)
def test_a_name_cannot_forge_the_fields_behind_it(text: str, comm: str | None) -> None:
    stat = parse_stat(text)

    assert (stat.comm if stat else None) == comm
    assert stat is None or stat.parent == 1


# --- the audit log, sessions --------------------------------------------------------------------------------------------


def test_the_audit_log_completes_what_was_gone(netns: Netns, heard: NftEvents, tmp_path: Path) -> None:
    netns.nft(ADD)
    gone = committed(heard)
    stamp = f"msg=audit({time.time():.3f}:77)"
    log = tmp_path / "audit.log"
    log.write_text(
        f"type=NETFILTER_CFG {stamp}: table=foreign:{gone.generation} family=2 entries=1 op=nft_register_table "
        f'pid={gone.pid} subj=unconfined comm="nft"\n'
        f"type=SYSCALL {stamp}: arch=c000003e syscall=46 success=yes exit=1 ppid={os.getpid()} pid={gone.pid} auid=1000 "
        'uid=0 ses=4 comm="nft" exe="/usr/sbin/nft" key=(null)\n'
    )
    (tmp_path / "4").write_text("USER=bob\nREMOTE_HOST=10.9.0.5\nSERVICE=sshd\n")
    found = Background(audit=AuditLog(str(log)), sessions=str(tmp_path)).complete(gone)

    own_name = Path("/proc/self/comm").read_text().strip()
    assert found.audited
    assert (found.exe, found.loginuid, found.session) == ("/usr/sbin/nft", 1000, "4")
    assert (found.login, found.remote) == ("bob", "10.9.0.5")
    assert found.parents[0] == own_name
    # Whether the file of that path was this host's cannot be told any more.
    assert found.package is None
    assert str(found).startswith(f"nft (pid {gone.pid}, from {own_name}")
    assert "login bob, logged in from 10.9.0.5" in str(found)


def test_an_audit_log_that_comes_late_is_asked_again(netns: Netns, heard: NftEvents, tmp_path: Path) -> None:
    netns.nft(ADD)
    gone = committed(heard)
    log = tmp_path / "audit.log"
    background = Background(audit=AuditLog(str(log)), sessions=str(tmp_path))
    assert not background.complete(gone).audited
    stamp = f"msg=audit({time.time():.3f}:77)"
    log.write_text(
        f'type=NETFILTER_CFG {stamp}: table=foreign:{gone.generation} family=2 entries=1 op=x pid={gone.pid} comm="nft"\n'
        f'type=SYSCALL {stamp}: ppid=1 pid={gone.pid} auid=4294967295 ses=4294967295 comm="nft" exe="/usr/sbin/nft"\n'
    )

    assert background.complete(gone).audited


def test_where_there_is_no_logind_ssh_says_where_a_session_came_from(tmp_path: Path) -> None:
    """The program above the session has to be sshd by name and by path."""
    sshd = tmp_path / "sshd"
    shutil.copy(shutil.which("dash") or "/bin/sh", sshd)
    child = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    command = ["env", "SSH_CONNECTION=10.9.0.5 50000 10.1.0.1 22", "python3", "-c", child]
    with subprocess.Popen(
        [str(sshd), "-c", '"$@"; true', "sshd", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        stat = parse_stat(Path(f"/proc/{pid}/stat").read_text())
        assert stat is not None
        chain = tuple(ancestors(pid, stat.started))
        background = Background(sessions=str(tmp_path), passwd=str(tmp_path / "none"))
        assert background.login(1000, "9", pid, chain) == (None, "10.9.0.5")
        assert background.login(None, None, pid, chain) == (None, None)
        running.communicate()


def test_a_listeners_owner_has_parent_and_package() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as running:
        _is_called(running.pid, "cat")
        owner = describe(running.pid)
        running.communicate()

    assert owner is not None
    assert owner.parent == Path("/proc/self/comm").read_text().strip()
    assert owner.package == "coreutils"
    assert owner.origin["package"] == "coreutils"


def _is_called(pid: int, name: str) -> None:
    """Wait until a child has become the program that it was to run."""
    for _ in range(500):
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return
        time.sleep(0.01)
    pytest.fail(f"{pid} did not become {name}")

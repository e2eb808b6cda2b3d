"""What the audit log tells of a change: only of exactly that one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from portguard.kernel.audit import AuditLog, Caller, text

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1700000000.5
NFT = (
    "type=NETFILTER_CFG msg=audit(1700000000.333:8540): table=portguard:12 family=1 entries=3 op=nft_unregister_rule "
    'pid=6001 subj=unconfined comm="nft"'
)
CALL = (
    "type=SYSCALL msg=audit(1700000000.333:8540): arch=c000003e syscall=46 success=yes exit=120 a0=3 a1=7ffc a2=0 a3=1 "
    "items=0 ppid=5999 pid=6001 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=4 "
    'comm="nft" exe="/usr/sbin/nft" subj=unconfined key=(null)'
)
ENRICHED = '\x1dARCH=x86_64 SYSCALL=sendmsg AUID="bob" UID="root"'
TITLE = "type=PROCTITLE msg=audit(1700000000.333:8540): proctitle=6E667400"
WHO = Caller(pid=6001, parent=5999, loginuid=1000, session="4", exe="/usr/sbin/nft")


def log(folder: Path, *lines: str) -> AuditLog:
    path = folder / "audit.log"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return AuditLog(str(path))


def ask(
    audit: AuditLog, *, generation: int = 12, thread: int = 6001, comm: str = "nft", when: float = NOW
) -> Caller | None:
    return audit.find(generation=generation, thread=thread, comm=comm, when=when)


@pytest.mark.parametrize(
    "lines",
    [
        (NFT, CALL, TITLE),
        (CALL + ENRICHED, NFT, TITLE),
        (f"node=host.example {NFT}", f"node=host.example {CALL}"),
        ("nonsense", "", NFT, "type=", CALL),
    ],
    ids=["plain", "enriched", "node", "noise"],
)
def test_names_who_made_the_system_call(lines: tuple[str, ...], tmp_path: Path) -> None:
    assert ask(log(tmp_path, *lines)) == WHO


@pytest.mark.parametrize(
    "question",
    [{"generation": 13}, {"generation": 1}, {"thread": 6002}, {"comm": "iptables"}, {"when": NOW + 3600}],
    ids=str,
)
def test_another_change_is_not_taken_for_this_one(question: dict[str, float], tmp_path: Path) -> None:
    assert ask(log(tmp_path, NFT, CALL), **question) is None  # type: ignore[arg-type]


def test_a_table_may_be_called_anything(tmp_path: Path) -> None:
    odd = NFT.replace("table=portguard:12", "table=a:12:13")

    assert ask(log(tmp_path, odd, CALL)) is None
    assert ask(log(tmp_path, odd, CALL), generation=13) == WHO


def test_without_the_record_of_the_call_nothing_more_is_known(tmp_path: Path) -> None:
    assert ask(log(tmp_path, NFT, TITLE)) is None
    assert ask(log(tmp_path, NFT, CALL.replace(":8540", ":8541"))) is None


def test_a_thread_is_told_as_its_process(tmp_path: Path) -> None:
    found = ask(log(tmp_path, NFT, CALL.replace("pid=6001", "pid=6000")))

    assert found is not None
    assert found.pid == 6000


def test_two_that_agree_in_everything_are_nobody(tmp_path: Path) -> None:
    again = [line.replace(":8540", ":8541").replace("auid=1000", "auid=1001") for line in (NFT, CALL)]

    assert ask(log(tmp_path, NFT, CALL, *again)) is None


def test_what_nobody_logged_in_for_has_no_login(tmp_path: Path) -> None:
    daemon = CALL.replace("auid=1000", "auid=4294967295").replace("ses=4", "ses=4294967295")
    found = ask(log(tmp_path, NFT, daemon))

    assert found is not None
    assert (found.loginuid, found.session) == (None, None)


def test_a_name_with_odd_characters_is_in_hexadecimal(tmp_path: Path) -> None:
    odd = [line.replace('comm="nft"', "comm=6E6674207C20") for line in (NFT, CALL)]

    assert ask(log(tmp_path, *odd), comm="nft | ") == WHO


def test_a_name_cannot_forge_fields(tmp_path: Path) -> None:
    """The kernel quotes, and writes what holds a quotation mark in hexadecimal: the first field of a name counts."""
    forged = CALL.replace('comm="nft"', 'comm="x exe=/evil auid=0"')
    found = ask(log(tmp_path, NFT, forged))

    assert found == WHO


def test_only_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    filler = "type=USER msg=audit(1700000000.000:1): pid=1 " + "x" * 900
    assert ask(log(tmp_path, NFT, CALL, *[filler] * 300)) is None
    assert ask(log(tmp_path, *[filler] * 300, NFT, CALL)) == WHO


def test_a_line_that_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(f"{NFT}\n{CALL}")

    assert ask(AuditLog(str(path))) is None


def test_no_log_a_link_or_a_pipe_tells_nothing(tmp_path: Path) -> None:
    log(tmp_path, NFT, CALL)
    (tmp_path / "link").symlink_to(tmp_path / "audit.log")
    os.mkfifo(tmp_path / "pipe")

    for name in ("none", "link", "pipe", "."):
        assert ask(AuditLog(str(tmp_path / name))) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"nft"', "nft"), ("6E6674", "nft"), ("nft", "nft"), ("(null)", "(null)"), ("FF", "\\xff"), ("", "")],
)
def test_reads_both_spellings(value: str, expected: str) -> None:
    assert text(value) == expected

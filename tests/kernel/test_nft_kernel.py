"""The ruleset of the real kernel, where the contract with the fake ends."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from portguard.errors import NftError, ObserveError
from portguard.kernel import nft, nft_command
from portguard.kernel.generation import ask_generation, open_generation
from portguard.kernel.libnftables import Libnftables
from portguard.kernel.nft import Nft
from portguard.kernel.tables import Found, find_table, list_tables
from portguard.model.ruleset import Chain, TableKey
from portguard.model.transaction import ChainOp, RuleOp, TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel

OURS = TableKey("inet", "portguard")
THEIRS = TableKey("inet", "firewalld")
OWNED = "table inet firewalld { flags owner; chain c { type filter hook input priority 10; policy drop; }; }"


@pytest.fixture
def firewall(netns: Netns) -> Iterator[Nft]:  # noqa: ARG001 - the namespace it is opened in
    with closing(Nft()) as opened:
        yield opened


@pytest.fixture
def owner(netns: Netns) -> Iterator[Libnftables]:  # noqa: ARG001 - the namespace it is opened in
    """Somebody else who keeps a table to himself."""
    with closing(Libnftables()) as library:
        yield library


def made(key: TableKey = OURS, rules: int = 0) -> Transaction:
    chain = Chain(name="input", type="filter", hook="input", priority=0, policy="accept")
    rule = RuleOp(verb=Verb.ADD, table=key, chain="input", expr=({"accept": None},))
    table, base = TableOp(verb=Verb.ADD, table=key), ChainOp(verb=Verb.ADD, table=key, chain=chain)
    return Transaction(operations=(table, base, *[rule] * rules))


def test_what_the_nft_program_wrote_is_read_as_it_lists_it(netns: Netns, firewall: Nft) -> None:
    netns.nft(
        "add table ip filter",
        "add set ip filter bans { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }",
        "add chain ip filter INPUT { type filter hook input priority filter; policy drop; }",
        'add rule ip filter INPUT tcp dport 22 accept comment "ssh"',
    )

    table = firewall.read().tables[TableKey("ip", "filter")]

    assert table.chains["INPUT"].policy == "drop"
    assert table.rules_of("INPUT")[0].comment == "ssh"
    assert table.sets["bans"].elements == ({"prefix": {"addr": "10.0.0.0", "len": 8}},)
    assert table == firewall.read_table(TableKey("ip", "filter"))


def test_the_port_is_the_one_that_the_kernel_announces(firewall: Nft) -> None:
    firewall.commit(made())

    with closing(Nft()) as another:
        another.commit(Transaction(operations=made().operations[1:]))

        assert firewall.port_id != 0
        assert firewall.port_id != another.port_id


def test_the_flags_of_a_table_are_the_kernels_not_those_that_nft_prints(
    owner: Libnftables, firewall: Nft
) -> None:
    """Version 1.0.6 of nft prints them from memory that holds something else, now and then cut off."""
    assert owner.run(OWNED) == ("", None)
    firewall.commit(made())

    for _ in range(20):
        ruleset = firewall.read()

        assert list(ruleset.tables) == [THEIRS, OURS]
        assert ruleset.tables[THEIRS].flags == ("owner",)
        assert ruleset.tables[THEIRS].chains["c"].policy == "drop"
        assert firewall.read_table(THEIRS) == ruleset.tables[THEIRS]


def test_a_dormant_table_says_so(netns: Netns, firewall: Nft) -> None:
    """With nothing else in it, nft 1.0.6 cuts its listing off."""
    netns.nft("add table ip sleeping { flags dormant; }")

    assert firewall.read().tables[TableKey("ip", "sleeping")].flags == ("dormant",)


def test_a_table_with_flags_is_read_with_all_that_is_in_it(netns: Netns, firewall: Nft) -> None:
    inside = (
        "add set ip there printers { type ipv4_addr; elements = { 10.2.0.1 }; }",
        "add map ip there verdicts { type ipv4_addr : verdict; elements = { 10.2.0.1 : drop }; }",
        "add chain ip there input { type filter hook input priority 0; policy drop; }",
        "add rule ip there input ip saddr @printers accept",
    )
    netns.nft("add table ip there", *inside)
    plain = firewall.read_table(TableKey("ip", "there"))
    netns.nft("add table ip other", "add chain ip other input")
    netns.nft("delete table ip there")
    netns.nft("add table ip there { flags dormant; }", *inside)

    flagged = firewall.read().tables[TableKey("ip", "there")]

    assert plain is not None
    assert flagged == replace(plain, handle=flagged.handle, flags=("dormant",))


def test_our_own_table_is_not_printed_in_process_when_somebody_gave_it_flags(
    netns: Netns, firewall: Nft
) -> None:
    netns.nft("add table inet portguard { flags dormant; }")

    table = firewall.read_table(OURS)

    assert table is not None
    assert table.flags == ("dormant",)
    assert dict(firewall.read().tables) == {OURS: table}


def test_writing_to_a_table_that_another_process_owns_is_not_permitted(
    owner: Libnftables, firewall: Nft
) -> None:
    owner.run(OWNED)

    with pytest.raises(NftError, match="Operation not permitted") as caught:
        firewall.commit(Transaction(operations=(TableOp(verb=Verb.DELETE, table=THEIRS),)))

    assert caught.value.not_permitted


def test_a_table_that_cannot_be_listed_hides_no_other(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An nft that prints half of a document and returns 0, as 1.0.6 does for a table with flags."""
    netns.nft("add table ip good", "add table ip bad")
    firewall.commit(made())
    real = tmp_path / "real"
    real.symlink_to(next(p for p in ("/usr/sbin/nft", "/sbin/nft") if os.access(p, os.X_OK)))
    stand_in = tmp_path / "nft"
    stand_in.write_text(
        f'#!/bin/sh\nasked=$(cat)\ncase $asked in *good*) echo "$asked" | {real} -j -f -;; '
        """*) printf '{"nftables": [{"meta';; esac\n"""
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    ruleset = firewall.read()

    assert list(ruleset.tables) == [TableKey("ip", "good"), OURS]
    assert list(ruleset.unreadable) == [TableKey("ip", "bad")]
    assert "not JSON" in ruleset.unreadable[TableKey("ip", "bad")]


@pytest.mark.parametrize(
    "script_and_reason",
    [
        ("exit 3", "nft"),
        ("echo broken >&2; exit 1", "broken"),
        ("kill -SEGV $$", "-11"),
        ("printf '\\377'", "not text"),
        ("echo '[]'", "not a listing"),
        ("true", "0 listings"),
        ("echo nothing", "not JSON"),
    ],
)
def test_an_nft_that_fails_leaves_a_gap_never_an_empty_table(
    netns: Netns,
    firewall: Nft,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script_and_reason: tuple[str, str],
) -> None:
    script, reason = script_and_reason
    netns.nft("add table ip theirs")
    stand_in = tmp_path / "nft"
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    ruleset = firewall.read()

    assert dict(ruleset.tables) == {}
    assert reason in ruleset.unreadable[TableKey("ip", "theirs")]


def test_an_nft_that_cannot_be_started_leaves_a_gap(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netns.nft("add table ip theirs")
    (tmp_path / "nft").write_text("#!/no/such/interpreter\n")
    (tmp_path / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert "cannot be run" in firewall.read().unreadable[TableKey("ip", "theirs")]


def test_without_nft_our_own_table_is_still_read(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch
) -> None:
    netns.nft("add table ip theirs")
    firewall.commit(made())
    monkeypatch.setattr("portguard.kernel.nft_command.shutil.which", lambda _name, path: None)  # noqa: ARG005

    ruleset = firewall.read()

    assert list(ruleset.tables) == [OURS]
    assert "apt install nftables" in ruleset.unreadable[TableKey("ip", "theirs")]


def test_an_nft_that_hangs_is_given_up(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netns.nft("add table ip theirs")
    stand_in = tmp_path / "nft"
    stand_in.write_text("#!/bin/sh\nexec sleep 600\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(nft_command, "_TIMEOUT", 0.2)
    monkeypatch.setattr(nft, "_TIMEOUT", 0.2)

    assert "in time" in firewall.read().unreadable[TableKey("ip", "theirs")]


@pytest.mark.parametrize("limit", ["size", "time"])
def test_a_set_that_cannot_be_had_costs_its_own_elements_and_no_others(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch, limit: str, tmp_path: Path
) -> None:
    elements = ", ".join(f"10.0.{i // 250}.{i % 250}" for i in range(2000))
    netns.nft(
        "add table ip bans",
        f"add set ip bans banned {{ type ipv4_addr; elements = {{ {elements} }}; }}",
        "add set ip bans few { type ipv4_addr; elements = { 10.0.0.1 }; }",
        "add set ip bans none { type ipv4_addr; }",
        "add map ip bans ports { type inet_service : verdict; elements = { 80 : accept }; }",
    )
    if limit == "size":
        monkeypatch.setattr(nft_command, "_BOUND", 10_000)
    else:
        # An nft that never ends where it would have to print the large set.
        real = tmp_path / "real"
        real.symlink_to(next(p for p in ("/usr/sbin/nft", "/sbin/nft") if os.access(p, os.X_OK)))
        stand_in = tmp_path / "nft"
        stand_in.write_text(
            "#!/bin/sh\nasked=$(cat)\n"
            f'case "$2 $asked" in -t*|*few*|*none*|*ports*) echo "$asked" | {real} "$@";; *) exec sleep 600;; esac\n'
        )
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(nft_command, "_TIMEOUT", 4.0)
        monkeypatch.setattr(nft_command, "_SET_TIMEOUT", 0.2)

    sets = firewall.read().tables[TableKey("ip", "bans")].sets

    assert sets["banned"].elements is None
    assert sets["few"].elements == ("10.0.0.1",)
    assert sets["none"].elements == ()
    assert sets["ports"].elements == ([80, {"accept": None}],)


def test_all_elements_are_read_when_the_listing_is_not_too_large(netns: Netns, firewall: Nft) -> None:
    elements = ", ".join(f"10.0.{i // 250}.{i % 250}" for i in range(2000))
    netns.nft(
        "add table ip bans", f"add set ip bans banned {{ type ipv4_addr; elements = {{ {elements} }}; }}"
    )

    banned = firewall.read().tables[TableKey("ip", "bans")].sets["banned"]

    assert banned.elements is not None
    assert len(banned.elements) == 2000


def test_a_name_that_nft_itself_cannot_spell_is_read_all_the_same(owner: Libnftables, firewall: Nft) -> None:
    odd = TableKey("ip", 'two words; and "quotes"')
    owner.run(Transaction(operations=(TableOp(verb=Verb.ADD, table=odd),)).to_json())

    table = firewall.read_table(odd)

    assert table is not None
    assert odd in firewall.read().tables


def test_a_read_belongs_to_one_generation_while_somebody_keeps_writing(netns: Netns, firewall: Nft) -> None:
    """Each of the writer's transactions puts the same number into two tables."""
    netns.nft("add table ip a", "add chain ip a c", "add table ip b", "add chain ip b c")

    def write() -> None:
        with closing(Libnftables()) as library:
            for number in range(200):
                library.run(
                    "".join(
                        f'flush chain ip {name} c\nadd rule ip {name} c accept comment "{number}"\n'
                        for name in ("a", "b")
                    )
                )
                time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[set[str | None]] = []
    while not seen or seen[-1] != {"199"}:
        try:
            ruleset = firewall.read()
        except ObserveError:
            continue  # It changed each time: said, not glossed over.
        seen.append({rule.comment for table in ruleset.tables.values() for rule in table.rules_of("c")})
    writer.join()

    assert all(len(numbers) <= 1 for numbers in seen)


def test_a_read_that_somebody_wrote_into_is_made_again(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch
) -> None:
    netns.nft("add table ip a", "add table ip b")
    listing, times = nft_command.list_ruleset, 0

    def interrupted(meanwhile: Callable[[], None]) -> tuple[object, bool]:
        nonlocal times
        times += 1
        document = listing(meanwhile)
        if times < 3:
            netns.nft(f"add table ip during{times}")
        return document

    monkeypatch.setattr(nft, "list_ruleset", interrupted)

    ruleset = firewall.read()

    assert times == 3
    assert [key.name for key in ruleset.tables] == ["a", "b", "during1", "during2"]
    assert ruleset.generation == firewall.generation()


def test_a_ruleset_that_never_rests_cannot_be_read(
    netns: Netns, firewall: Nft, monkeypatch: pytest.MonkeyPatch
) -> None:
    netns.nft("add table ip a")
    listing = nft_command.list_ruleset

    def interrupted(meanwhile: Callable[[], None]) -> tuple[object, bool]:
        netns.nft("delete table ip a", "add table ip a")
        return listing(meanwhile)

    monkeypatch.setattr(nft, "list_ruleset", interrupted)

    with pytest.raises(ObserveError, match="changed 5 times"):
        firewall.read()


def test_tables_and_generation_are_asked_without_libnftables(netns: Netns) -> None:
    with closing(open_generation()) as sock:
        before = ask_generation(sock)
        assert list_tables(sock) == {}
        assert find_table(sock, OURS) is None

        netns.nft("add table inet portguard", "add table ip6 x { flags dormant; }")

        assert list_tables(sock) == {OURS: Found(1, ()), TableKey("ip6", "x"): Found(2, ("dormant",))}
        assert find_table(sock, OURS) == Found(1, ())
        assert ask_generation(sock) > before


def test_without_the_right_to_ask_nothing_is_concluded(firewall: Nft) -> None:
    """An ordinary user: the ruleset is not empty, it cannot be read."""
    os.seteuid(65534)
    try:
        with closing(open_generation()) as sock:
            with pytest.raises(ObserveError, match="generation: Operation not permitted"):
                ask_generation(sock)
            with pytest.raises(ObserveError, match="cannot list the tables of the ruleset: Operation not"):
                list_tables(sock)
            with pytest.raises(ObserveError, match="cannot look for table inet portguard: Operation not"):
                find_table(sock, OURS)
    finally:
        os.seteuid(0)

    assert firewall.generation() == 1

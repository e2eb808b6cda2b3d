"""The parts of the edges that only read text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.errors import ObserveError
from portguard.kernel import legacy
from portguard.kernel.attribution import clean, unit_of_cgroup
from portguard.kernel.cgroups import Cgroups, cgroup2_mount
from portguard.kernel.legacy import legacy_tables
from portguard.kernel.libnftables import parse_document, short


@given(st.text(max_size=600))
def test_clean_text_fits_one_line_of_a_log(value: str) -> None:
    cleaned = clean(value)

    assert len(cleaned.splitlines()) <= 1
    assert len(cleaned) <= 256
    assert not any(ord(character) < 32 for character in cleaned)


def test_cleaning_keeps_what_a_person_would_read() -> None:
    assert clean("redis\n\x1b[31m-server\x9b ü") == "redis[31m-server ü"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/redis-server.service", "redis-server.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "x.service"),
        ("/system.slice/docker-0123.scope/init", "docker-0123.scope"),
        ("/sys/fs/cgroup/unified/system.slice/ls.socket", "ls.socket"),
        ("/system.slice", None),
        ("/", None),
        ("", None),
        ("/.service", None),
    ],
)
def test_the_unit_is_the_innermost_that_is_no_slice(path: str, unit: str | None) -> None:
    assert unit_of_cgroup(path) == unit


PURE = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "24 21 0:22 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n"
    "33 24 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "34 24 0:32 / /sys/fs/cgroup/unified rw shared:10 master:3 - cgroup2 cgroup2 rw\n"
)


@pytest.mark.parametrize(
    ("mountinfo", "mount"),
    [
        (PURE, Path("/sys/fs/cgroup")),
        (HYBRID, Path("/sys/fs/cgroup/unified")),
        (PURE.replace("/sys/fs/cgroup", r"/a\040b"), Path("/a b")),
        ("24 21 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n", None),
        ("", None),
    ],
    ids=["pure", "hybrid", "with a space", "version 1", "nothing"],
)
def test_cgroup2_is_found_where_it_is_mounted(mountinfo: str, mount: Path | None) -> None:
    assert cgroup2_mount(mountinfo) == mount


def test_without_cgroup2_no_cgroup_has_a_path() -> None:
    cgroups = Cgroups(None, lambda: 0.0)

    assert cgroups.path(1) is None
    assert cgroups.processes(1) == ()


class TestLegacyTables:
    """The list that the old iptables modules keep."""

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(legacy, "_NAMES", {"ip": tmp_path / "ip", "ip6": tmp_path / "ip6"})
        self.ip, self.ip6 = tmp_path / "ip", tmp_path / "ip6"

    def test_no_module_no_tables(self) -> None:
        assert legacy_tables() == ()

    def test_each_table_is_named_with_its_family(self) -> None:
        self.ip.write_text("nat\nfilter\n")
        self.ip6.write_text("filter\n")

        assert legacy_tables() == ("ip nat", "ip filter", "ip6 filter")

    def test_a_list_that_cannot_be_read_is_an_error(self) -> None:
        self.ip.mkdir()

        with pytest.raises(ObserveError, match="cannot read"):
            legacy_tables()


@pytest.mark.parametrize(
    "output",
    ["", "{", '{"nftables": [{"table": {"flags": ', "[]", "null", '{"nftables": {}}', '{"other": []}'],
)
def test_what_is_not_a_listing_is_an_error(output: str) -> None:
    with pytest.raises(ObserveError):
        parse_document(output)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("internal:0:0-0: Error: Could not process rule: File exists\n\n", "File exists"),
        (
            "Error: No such file or directory; did you mean table \u2018filter\u2019 in family ip?\nlist table ip x\n",
            "No such file or directory",
        ),
        ("netlink: Error: cache initialization failed: Operation not permitted\n", None),
        ("Operation not permitted (you must be root)\nmore\n", "Operation not permitted (you must be root)"),
        ("", "no reason given"),
    ],
)
def test_of_an_error_the_reason_is_kept(said: str, why: str | None) -> None:
    assert short(said) == (why or "cache initialization failed: Operation not permitted")

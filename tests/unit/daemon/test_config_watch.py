"""The watch on the configuration's files, on the real inotify."""

from __future__ import annotations

import errno
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from watchdog.observers.inotify import InotifyObserver

from portguard.daemon.watch import ConfigWatch
from portguard.errors import ObserveError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
"""Seconds until a test gives up. A wake-up takes half a second at most (watchdog pairs renames for that long)."""


def _descriptors() -> set[str]:
    return {item.name for item in Path("/proc/self/fd").iterdir()}


class Site:
    """A configuration on disk, watched."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "etc"
        self.folder.mkdir()
        self.confd = self.folder / "conf.d"
        self.catalogue = root / "catalogue.d"
        self.file = self.folder / "portguard.toml"
        self.file.write_text("a = 1\n")
        self.watch: ConfigWatch | None = None

    def start(self) -> None:
        self.watch = ConfigWatch(self.file, self.catalogue)

    def woken(self, timeout: float = PATIENCE) -> bool:
        assert self.watch is not None
        readable, _, _ = select.select([self.watch], [], [], timeout)
        return bool(readable) and self.watch.drain()

    def settle(self) -> None:
        """Take everything that earlier changes still cause."""
        while self.woken(0.8):
            pass

    def hears_main_file(self) -> bool:
        """Whether a change of the main file is still noticed, once all else has been."""
        self.settle()
        self.file.write_text("a = 3\n")
        return self.woken()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    if site.watch is not None:
        site.watch.stop()


def test_nothing_changed_is_not_readable(site: Site) -> None:
    site.start()
    assert not site.woken(0.0)
    assert site.watch is not None
    assert not site.watch.drain()


def test_a_write_in_place_wakes(site: Site) -> None:
    site.start()
    site.file.write_text("a = 2\n")
    assert site.woken()


def test_drain_forgets_what_it_reported(site: Site) -> None:
    site.start()
    site.file.write_text("a = 2\n")
    assert site.woken()
    site.settle()
    assert not site.woken(0.0)


def test_every_rename_over_the_file_wakes(site: Site) -> None:
    """Editors write another file and rename it: the second time, too."""
    site.start()
    for number in range(3):
        temporary = site.folder / ".portguard.toml.swp"
        temporary.write_text(f"a = {number}\n")
        temporary.replace(site.file)
        assert site.woken(), f"rename {number}"
        site.settle()


def test_removing_the_file_wakes_and_so_does_its_return(site: Site) -> None:
    site.start()
    site.file.unlink()
    assert site.woken()
    site.settle()
    site.file.write_text("a = 2\n")
    assert site.woken()


def test_reading_does_not_wake(site: Site) -> None:
    """The child that reads the configuration must not cause the next reading."""
    site.confd.mkdir()
    (site.confd / "10.toml").write_text("a = 1\n")
    site.start()
    site.settle()
    site.file.read_bytes()
    list(site.confd.iterdir())
    (site.confd / "10.toml").read_bytes()
    assert not site.woken(0.8)


@pytest.mark.parametrize("name", ["portguard.toml~", ".portguard.toml.swp", "notes.txt"])
def test_other_files_beside_it_do_not_wake(site: Site, name: str) -> None:
    site.start()
    (site.folder / name).write_text("x")
    assert not site.woken(0.8)
    assert site.hears_main_file()


def test_only_visible_toml_files_of_conf_d_wake(site: Site) -> None:
    site.confd.mkdir()
    site.start()
    site.settle()
    (site.confd / ".#10.toml").write_text("x")
    (site.confd / "10.toml.dpkg-old").write_text("x")
    assert not site.woken(0.8)
    (site.confd / "10.toml").write_text("a = 1\n")
    assert site.woken()


def test_conf_d_that_appears_later_is_watched(site: Site) -> None:
    site.start()
    site.confd.mkdir()
    assert site.woken()
    site.settle()
    (site.confd / "10.toml").write_text("a = 1\n")
    assert site.woken()


def test_a_catalogue_folder_that_appears_deep_is_watched(site: Site, tmp_path: Path) -> None:
    site.catalogue = tmp_path / "srv" / "site" / "catalogue.d"
    site.start()
    site.catalogue.mkdir(parents=True)
    assert site.woken()
    site.settle()
    (site.catalogue / "own.toml").write_text("schema = 1\n")
    assert site.woken()


def test_conf_d_replaced_as_a_whole_is_watched_again(site: Site) -> None:
    site.confd.mkdir()
    site.start()
    fresh = site.folder / "fresh"
    fresh.mkdir()
    site.confd.rename(site.folder / "old")
    fresh.rename(site.confd)
    assert site.woken()
    site.settle()
    (site.confd / "10.toml").write_text("a = 1\n")
    assert site.woken()
    site.settle()
    (site.folder / "old" / "10.toml").write_text("a = 1\n")
    assert not site.woken(0.8), "what was moved away matters no more"


def test_the_whole_folder_may_go_and_come_back(site: Site) -> None:
    site.start()
    site.file.unlink()
    site.folder.rmdir()
    assert site.woken()
    site.settle()
    site.folder.mkdir()
    assert site.woken()
    assert site.hears_main_file()


def test_the_whole_folder_may_be_swapped_by_renames(site: Site, tmp_path: Path) -> None:
    site.start()
    site.folder.rename(tmp_path / "before")
    site.folder.mkdir()
    assert site.woken()
    assert site.hears_main_file()


def test_a_linked_configuration_is_watched_where_it_lies(site: Site, tmp_path: Path) -> None:
    real = tmp_path / "releases"
    real.mkdir()
    (real / "portguard.toml").write_text("a = 1\n")
    site.file.unlink()
    site.file.symlink_to(real / "portguard.toml")
    site.start()
    (real / "portguard.toml").write_text("a = 2\n")
    assert site.woken()


def test_a_folder_switched_by_its_link_is_watched_again(site: Site, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "portguard.toml").write_text("a = 1\n")
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "one")
    site.file = link / "portguard.toml"
    site.start()
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(link)
    assert site.woken()
    site.settle()
    (tmp_path / "two" / "portguard.toml").write_text("a = 2\n")
    assert site.woken()


def test_following_another_catalogue_watches_it(site: Site, tmp_path: Path) -> None:
    site.start()
    other = tmp_path / "other.d"
    other.mkdir()
    assert site.watch is not None
    site.watch.follow(other)
    site.settle()
    (other / "own.toml").write_text("schema = 1\n")
    assert site.woken()


def test_a_change_before_the_first_drain_is_not_lost(site: Site) -> None:
    """The watch is made before the configuration is read, so whatever comes between is reported."""
    site.start()
    site.file.write_text("a = 2\n")
    site.file.write_text("a = 3\n")
    assert site.woken()


def test_no_watches_left_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller turns it into a gap: a change would go unnoticed."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(InotifyObserver, "schedule", refuse)
    before = _descriptors()
    with pytest.raises(ObserveError, match=r"^cannot watch the configuration: inotify watch limit reached$"):
        site.start()
    assert _descriptors() <= before, "what was opened is closed again"


def test_a_limit_of_the_real_kernel_is_reported(site: Site) -> None:
    """With no descriptor left inotify itself fails, whatever the version of watchdog."""
    script = (
        "import resource, os, sys, pathlib\n"
        "from portguard.daemon.watch import ConfigWatch\n"
        "from portguard.errors import ObserveError\n"
        "last = os.open('/dev/null', os.O_RDONLY)\n"
        "os.close(last)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, last + 1))\n"
        "try:\n"
        "    ConfigWatch(pathlib.Path(sys.argv[1]))\n"
        "except ObserveError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(site.file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("cannot watch the configuration: ")


def test_stop_ends_every_thread_and_descriptor(tmp_path: Path) -> None:
    before = _descriptors()
    threads = threading.active_count()
    site = Site(tmp_path)
    site.start()
    assert site.watch is not None
    site.watch.stop()
    assert threading.active_count() == threads
    assert _descriptors() <= before

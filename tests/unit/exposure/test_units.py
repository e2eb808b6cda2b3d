"""The command of a unit is what systemd would start: its file, drop-ins, templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard.exposure.units import exec_start

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    for name in ("etc", "lib"):
        (tmp_path / name).mkdir()
    return str(tmp_path / "etc"), str(tmp_path / "lib")


def write(folder: str, name: str, text: str) -> None:
    from pathlib import Path

    path = Path(folder) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_the_first_folder_that_has_the_unit_counts(folders: tuple[str, str]) -> None:
    write(folders[1], "cache.service", "[Service]\nExecStart=/usr/bin/redis-server /etc/redis/redis.conf\n")
    assert exec_start("cache.service", folders) == ("/usr/bin/redis-server", "/etc/redis/redis.conf")

    write(
        folders[0],
        "cache.service",
        "[Service]\nExecStart = -/usr/bin/redis-server \\\n  --port 6390 --save ''\n",
    )
    assert exec_start("cache.service", folders) == ("/usr/bin/redis-server", "--port", "6390", "--save", "")


def test_a_drop_in_replaces_the_command_after_an_empty_one(folders: tuple[str, str]) -> None:
    write(folders[1], "cache.service", "[Unit]\nExecStart=/bin/no\n[Service]\nExecStart=/usr/bin/a\n")
    write(folders[0], "cache.service.d/10-x.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/b --port 1\n")
    write(folders[1], "cache.service.d/10-x.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/c\n")

    assert exec_start("cache.service", folders) == ("/usr/bin/b", "--port", "1")


def test_an_instance_is_put_into_its_template(folders: tuple[str, str]) -> None:
    write(
        folders[1],
        "redis-server@.service",
        "[Service]\nExecStart=/usr/bin/redis-server /etc/redis/%i.conf 100%%\n",
    )

    assert exec_start("redis-server@a.service", folders) == (
        "/usr/bin/redis-server",
        "/etc/redis/a.conf",
        "100%",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n",
        "[Service]\nExecStart=/bin/a $OPTIONS\n",
        "[Service]\nExecStart=/bin/a %t/x\n",
        "[Service]\nExecStart=/bin/a 'unfinished\n",
    ],
)
def test_what_only_systemd_knows_is_not_guessed(folders: tuple[str, str], text: str) -> None:
    write(folders[1], "cache.service", text)

    assert exec_start("cache.service", folders) is None


@pytest.mark.parametrize(
    "unit", ["../../etc/shadow", "x.scope", "a/b.service", "", "missing.service", "a\nb.service"]
)
def test_a_name_that_is_no_service_is_looked_up_nowhere(folders: tuple[str, str], unit: str) -> None:
    assert exec_start(unit, folders) is None

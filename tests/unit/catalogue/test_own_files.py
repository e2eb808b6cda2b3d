"""Which files of this site the catalogue is read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard.catalogue import load
from portguard.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_read_in_name_order_and_editors_leavings_are_not(tmp_path: Path) -> None:
    for name in ("20-b.toml", "10-a.toml", ".#10-a.toml", "10-a.toml~", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [path.name for path in load.local_files(tmp_path)] == ["10-a.toml", "20-b.toml"]


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert load.local_files(tmp_path / "none") == []


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: Not a directory"):
        load.local_files(tmp_path / "file")


def test_a_second_read_of_the_same_files_gives_the_same_digest_and_another_file_another(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own.toml"
    path.write_text('schema = 1\n[zones]\nlobby = "The lobby"\n')
    shipped, own = load.load(), load.load([path])
    assert load.load().digest == shipped.digest != own.digest
    assert own.zone_by_id["lobby"].title == "The lobby"

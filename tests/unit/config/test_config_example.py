"""The configuration that is shipped: every key, its default, and nothing that is not true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.catalogue.load import load as load_catalogue
from portguard.config import load
from portguard.config.schema import TABLES, keys_of
from portguard.model.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "etc/portguard/portguard.toml"
MANUAL = ROOT / "docs/configuration.md"


def _uncommented() -> str:
    """Remove the ``#`` of every key and table; prose has a space after it."""
    return re.sub(r"^#(?=[^ \n])", "", SHIPPED.read_text(), flags=re.MULTILINE)


def test_as_shipped_it_says_nothing_and_lets_nothing_be_written() -> None:
    config = load(SHIPPED, load_catalogue(), {})
    assert config == Config(roles=(), files=(SHIPPED,), digest=config.digest)
    assert not config.mode.writes


def test_with_every_key_uncommented_it_holds_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "portguard.toml"
    path.write_text(_uncommented())
    config = load(path, load_catalogue(), {})
    default = Config(roles=("printum/all-in-one",))
    examples = ("zones", "hosts", "settings", "failsafe", "extra")
    assert all(getattr(config, name) for name in examples)
    same = set(Config.__dataclass_fields__) - {*examples, "files", "digest"}
    assert {name: getattr(config, name) for name in same} == {name: getattr(default, name) for name in same}


def _keys() -> Iterator[str]:
    for table in TABLES.values():
        yield from keys_of(table)


@pytest.mark.parametrize("key", sorted(set(_keys())))
def test_every_key_is_shown_and_explained(key: str) -> None:
    text = _uncommented()
    assert re.search(rf"^\[*{key}\b|[{{,] *{key} = ", text, flags=re.MULTILINE), "in the shipped file"
    assert re.search(rf"`(\w+\.)?{key}`|`\[+{key}\]+`|{key} = ", MANUAL.read_text()), "in the manual"


def test_the_example_of_the_manual_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", MANUAL.read_text(), flags=re.DOTALL)
    path = tmp_path / "portguard.toml"
    path.write_text(example)
    assert load(path, load_catalogue(), {}).roles == ("printum/printmanager", "printum/redis-sentinel")


def test_the_variables_of_the_manual_are_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", MANUAL.read_text(), flags=re.DOTALL)
    variables = dict(re.findall(r"^(\w+)='?(.*?)'?(?: +#.*)?$", block, flags=re.MULTILINE))
    assert len(variables) == 5
    path = tmp_path / "portguard.toml"
    path.write_text("")
    config = load(path, load_catalogue(), variables)
    assert config.roles == ("printum/portal",)
    assert set(config.zones) == {"printers"}

"""Where the commands that only read the documents find them.

They do not load the whole configuration: ``portguard explain`` has to answer on a server whose configuration is at
fault, or that has none yet.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.catalogue import load
from portguard.errors import ConfigError, Fault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from portguard.model.flow import Catalogue

CONFIG = Path("/etc/portguard/portguard.toml")


def add_options(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    """Add ``--config`` and ``--json``; ``nested`` keeps what stands before a subcommand from being overwritten."""
    import argparse  # noqa: PLC0415

    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=argparse.SUPPRESS if nested else CONFIG,
        help=f"where paths.catalogue, the folder of this site's own products, is read from (default: {CONFIG})",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS if nested else False,
        help="print JSON, as docs/catalogue.md describes it",
    )


def catalogue(config: Path) -> Catalogue:
    """Read the shipped catalogue and this site's own files. Raises ConfigError with every fault."""
    return load.load(own_files(config))


def own_files(config: Path) -> list[Path]:
    """Catalogue files of this site, in name order; none where the folder does not exist."""
    return load.local_files(folder(config))


def folder(config: Path) -> Path:
    """Find ``paths.catalogue`` in the configuration; the last file that sets it wins.

    Raises ConfigError for a file that cannot be read. A file that does not exist sets nothing.
    """
    found = load.LOCAL_CATALOGUE
    for path in (config, *sorted((config.parent / "conf.d").glob("*.toml"))):
        for value in _settings(path):
            if not isinstance(value, str) or not value.strip():
                raise ConfigError([Fault(file=str(path), path="paths.catalogue", message="must be a path")])
            found = Path(value)
    return found


def _settings(path: Path) -> Iterator[object]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError([Fault(file=str(path), path="", message=error.strerror or str(error))]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(file=str(path), path="", message=f"is not TOML: {error}")]) from None
    paths = document.get("paths")
    if isinstance(paths, dict) and "catalogue" in paths:
        yield paths["catalogue"]

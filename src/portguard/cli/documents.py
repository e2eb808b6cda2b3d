"""Where the commands that only read the documents find them.

They do not load the whole configuration: ``portguard explain`` has to answer on a server whose configuration is at
fault, or that has none yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.catalogue import load
from portguard.cli.paths import CONFIG, configured

if TYPE_CHECKING:
    from portguard.model.flow import Catalogue


def add_options(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    """Add ``--config`` and ``--json``; ``nested`` keeps what stands before a subcommand from being overwritten."""
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
        help="print JSON, as the docs describe it",
    )


def catalogue(config: Path) -> Catalogue:
    """Read the shipped catalogue and this site's own files. Raises ConfigError with every fault."""
    return load.load(own_files(config))


def own_files(config: Path) -> list[Path]:
    """Catalogue files of this site, in name order; none where the folder does not exist."""
    return load.local_files(folder(config))


def folder(config: Path) -> Path:
    """Folder of this site's own catalogue files, which need not exist."""
    return configured(config, "catalogue", load.LOCAL_CATALOGUE)

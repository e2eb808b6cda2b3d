"""``python -m portguard.config [--json] FILE``: validate a configuration and print it, or everything wrong with it.

Exit code 0 when it is valid, 78 when it is not. With ``--json`` it is what :mod:`portguard.config.isolated` reads.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.catalogue.load import load as load_catalogue
from portguard.catalogue.load import local_files
from portguard.config import vendored as _vendored  # noqa: F401 - stands before all that imports pydantic
from portguard.config import wire
from portguard.config.build import Sources, validate
from portguard.errors import ConfigError, Fault
from portguard.model.finding import ExitCode
from portguard.model.paths import Paths

if TYPE_CHECKING:
    from portguard.model.config import Config


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m portguard.config", description="Validate a configuration of portguard."
    )
    parser.add_argument("--json", action="store_true", help="print the configuration or its faults as JSON")
    parser.add_argument("file", type=Path, help="e.g. /etc/portguard/portguard.toml")
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A message may quote what no encoding has a spelling for.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        config = read(arguments.file)
    except ConfigError as error:
        text = wire.dump_faults(error.faults) if arguments.json else str(error)
        sys.stdout.write(f"{text}\n")
        return ExitCode.CONFIG
    sys.stdout.write(f"{wire.dump(config)}\n" if arguments.json else f"{arguments.file}: valid\n")
    return ExitCode.OK


def read(path: Path) -> Config:
    """Validate a configuration against the shipped catalogue and the administrator's own.

    Raises ConfigError with every fault of the configuration and of the catalogue files that it names.
    """
    sources = Sources(path, os.environ)
    faults: list[Fault] = []
    try:
        catalogue = load_catalogue(local_files(_folder(sources)))
    except ConfigError as error:
        faults += error.faults
        catalogue = load_catalogue()
    try:
        config = validate(sources, catalogue, names=not faults)
    except ConfigError as error:
        raise ConfigError([*error.faults, *faults]) from None
    if faults:
        raise ConfigError(faults)
    return config


def _folder(sources: Sources) -> Path:
    paths = sources.document.get("paths")
    folder = paths.get("catalogue") if isinstance(paths, dict) else None
    return Path(folder) if isinstance(folder, str) and folder else Paths().catalogue


if __name__ == "__main__":
    sys.exit(main())

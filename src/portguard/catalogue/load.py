"""Read catalogue files into values, and report everything that is wrong with them at once.

The format is described at the head of ``data/printum.toml``. Validation is our own rather than pydantic's, because the
daemon and ``portguard explain`` read the catalogue too and should not pay 20 MB and 100 ms for it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from portguard.catalogue.part import Part
from portguard.catalogue.references import check_references
from portguard.errors import ConfigError, Fault
from portguard.model.flow import Catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).parent / "data"
"""The vendors' documents, shipped with the package."""

LOCAL_CATALOGUE = Path("/etc/portguard/catalogue.d")
"""An administrator's own products."""


def load(extra: Iterable[Path] = ()) -> Catalogue:
    """Read the shipped catalogue and further files.

    Raises ConfigError with every fault of every file.
    """
    return read([*sorted(DATA.glob("*.toml")), *extra])


def local_files(folder: Path = LOCAL_CATALOGUE) -> list[Path]:
    """Files of the administrator's own catalogue, in name order; none when the folder does not exist.

    Hidden files are an editor's. Raises ConfigError for a folder that cannot be listed: that is not an empty one.
    """
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith(".")
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError([Fault(file=str(folder), path="", message=error.strerror or str(error))]) from None


def read(files: Iterable[Path]) -> Catalogue:
    """Read catalogue files that may refer to each other. Raises ConfigError with every fault of every file."""
    faults: list[Fault] = []
    parts: list[Part] = []
    digest = hashlib.sha256()
    for path in files:
        try:
            raw = path.read_bytes()
        except OSError as error:
            faults.append(Fault(file=str(path), path="", message=error.strerror or str(error)))
            continue
        digest.update(raw)
        try:
            text = raw.decode()
            document = tomllib.loads(text)
        except UnicodeDecodeError as error:
            faults.append(Fault(file=str(path), path="", message=f"is not UTF-8: {error.reason}"))
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            faults.append(
                Fault(
                    file=str(path),
                    line=int(line[1]) if line else None,
                    path="",
                    message=f"is not TOML: {error}",
                )
            )
        else:
            part = Part(name=str(path), text=text, faults=faults)
            part.parse(document)
            parts.append(part)
    check_references(parts, faults)
    if faults:
        raise ConfigError(faults)
    return Catalogue(
        documents=tuple(row for part in parts for row in part.documents),
        zones=tuple(row for part in parts for row in part.zones),
        components=tuple(row for part in parts for row in part.components),
        roles=tuple(row for part in parts for row in part.roles),
        flows=tuple(row for part in parts for row in part.flows),
        reserved=tuple(row for part in parts for row in part.reserved),
        digest=digest.hexdigest(),
    )

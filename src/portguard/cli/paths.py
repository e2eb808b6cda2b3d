"""Paths that a command needs before, or without, reading the whole configuration.

``portguard status`` has to answer in a moment, and on a server whose configuration is at fault.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from portguard.errors import ConfigError, Fault

CONFIG = Path("/etc/portguard/portguard.toml")


def configured(config: Path, key: str, default: Path) -> Path:
    """Find ``paths.<key>``: the environment wins over ``conf.d``, which wins over the file; else the default.

    Raises ConfigError for a file that cannot be read. A file that does not exist sets nothing.
    """
    found = default
    for path in (config, *sorted((config.parent / "conf.d").glob("*.toml"))):
        value = _section(path).get(key)
        if value is not None:
            if not isinstance(value, str) or not value.strip():
                raise ConfigError([Fault(file=str(path), path=f"paths.{key}", message="must be a path")])
            found = Path(value)
    return Path(os.environ.get(f"PORTGUARD_PATHS__{key.upper()}", found))


def _section(path: Path) -> dict[str, object]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError([Fault(file=str(path), path="", message=error.strerror or str(error))]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(file=str(path), path="", message=f"is not TOML: {error}")]) from None
    paths = document.get("paths")
    return paths if isinstance(paths, dict) else {}

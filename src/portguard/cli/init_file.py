"""Where a proposal is written, what it must not replace, and how.

``conf.d/50-init.toml`` and not ``portguard.toml``: that one belongs to the Debian package, which would ask about it at
every upgrade once it differs, and its comments are worth keeping. Only where there is no main file is that one written.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import tomllib
from pathlib import Path

from portguard.config import load_isolated
from portguard.core.proposal_text import unchanged
from portguard.errors import ConfigError, Fault, UsageError

NAME = "50-init.toml"


def target(config: Path) -> Path:
    """File that a proposal goes to."""
    return config.parent / "conf.d" / NAME if config.exists() else config


def refuse_to_overwrite(config: Path, path: Path, *, force: bool) -> None:
    """Raise UsageError where a person's work would be replaced or overruled, unless that is what they want."""
    if force:
        return
    if os.path.lexists(path) and not unchanged(_text(path)):
        raise UsageError(f"{path} was edited since it was proposed; --force replaces it")
    for other in (config, *sorted((config.parent / "conf.d").glob("*.toml"))):
        if other != path and _names_a_role(other):
            raise UsageError(
                f"{other} names a role already; --force writes {path} beside it, which may overrule it"
            )


def write(config: Path, path: Path, text: str) -> None:
    """Save a proposal that loads, in one step; then read the configuration as a whole.

    Raises ConfigError for a fault of either, and UsageError where the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="portguard-init-") as folder:
        alone = Path(folder, "portguard.toml")
        alone.write_text(text, encoding="utf-8")
        load_isolated(alone)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}; writing it needs root") from None
    load_isolated(config)


def _replace(path: Path, text: str) -> None:
    """Put the file in place as a whole: the daemon watches the folder, and reads what it finds. Raises OSError."""
    # The loader passes over names that begin with a dot.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _names_a_role(path: Path) -> bool:
    try:
        return "role" in tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Fault(file=str(path), path="", message=f"is not TOML: {error}")]) from None


def _text(path: Path) -> str:
    """Read a file; an absent one says nothing. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(file=str(path), path="", message=str(error))]) from None

"""The administrator's configuration: files and environment in, a :class:`~portguard.model.config.Config` out.

Importing this package does not import pydantic; :func:`load` does when it is called, :func:`load_isolated` never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.config.isolated import load_isolated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portguard.model.config import Config
    from portguard.model.flow import Catalogue

__all__ = ["load", "load_isolated"]


def load(path: Path, catalogue: Catalogue, environ: Mapping[str, str]) -> Config:
    """Read and validate a configuration in this process. Raises ConfigError with every fault of every file."""
    from portguard.config import build  # noqa: PLC0415 - pydantic: 20 MB and 100 ms that most processes do without

    return build.load(path, catalogue, environ)

"""This site: its configuration, and the policy that follows from it and the documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.catalogue import load as catalogues
from portguard.config import load_isolated
from portguard.core.resolve import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.model.config import Config
    from portguard.model.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A valid configuration, resolved."""

    config: Config
    policy: Policy


def load_site(path: Path) -> Site:
    """Read everything that an administrator wrote. Raises ConfigError with every fault at once."""
    config = load_isolated(path)
    catalogue = catalogues.load(catalogues.local_files(config.paths.catalogue))
    return Site(config=config, policy=resolve(config, catalogue))

"""A catalogue of two products, and a folder in which a test writes its configuration."""

from __future__ import annotations

import ipaddress
import textwrap
from typing import TYPE_CHECKING

import pytest

from portguard.config import load
from portguard.errors import ConfigError
from portguard.model.flow import (
    Catalogue,
    Component,
    Flow,
    Reserved,
    Role,
    Scope,
    Security,
    Zone,
)
from portguard.model.net import PortRange, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portguard.model.config import Config


def flow(name: str, need: str = "required", setting: str | None = None) -> Flow:
    """Make a flow of which only the need and the setting matter here."""
    return Flow(
        id=f"acme/{name}",
        product="acme",
        clients=("workstations",),
        server="acme/web",
        transport=Transport.TCP,
        ports=(PortRange(8001, 8001),),
        application="https",
        security=Security.ENCRYPTED,
        need=need,
        scope=Scope.NETWORK,
        setting=setting,
        purpose="testing",
        sources=(),
    )


CATALOGUE = Catalogue(
    zones=tuple(Zone(id=name, title=name) for name in ("workstations", "printers", "admins", "any")),
    components=tuple(
        Component(id=name, product="acme", title=name, listens=True) for name in ("acme/web", "acme/redis")
    ),
    roles=(Role(id="acme/all", title="all", components=("acme/web", "acme/redis")),),
    flows=(
        flow("web"),
        flow("terminal", "feature:embedded-terminal:ricoh"),
        flow("dav", setting="acme.webdavPort"),
    ),
    reserved=(Reserved(network=ipaddress.ip_network("10.28.32.0/26"), product="acme"),),
)


class Site:
    """A configuration that a test writes and loads."""

    def __init__(self, root: Path) -> None:
        self.file = root / "portguard.toml"
        self.confd = root / "conf.d"

    def write(self, text: str) -> Path:
        """Write the main file."""
        self.file.write_text(textwrap.dedent(text))
        return self.file

    def add(self, name: str, text: str) -> Path:
        """Write a file of conf.d."""
        self.confd.mkdir(exist_ok=True)
        (self.confd / name).write_text(textwrap.dedent(text))
        return self.confd / name

    def load(self, text: str | None = None, environ: Mapping[str, str] | None = None) -> Config:
        """Load, after writing the main file if a text is given."""
        if text is not None:
            self.write(text)
        return load(self.file, CATALOGUE, environ or {})

    def faults(self, text: str | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
        """Load what must be refused; return the faults with paths relative to the folder."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, environ)
        return [str(fault).replace(f"{self.file.parent}/", "") for fault in caught.value.faults]

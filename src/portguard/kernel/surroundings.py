"""What this host's files say of addresses that are, or will be, in use here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from portguard.kernel.containers import read_networks
from portguard.kernel.leases import read_leases
from portguard.model.snapshot import Surroundings

if TYPE_CHECKING:
    from portguard.kernel.world import Clock


class HostFiles:
    """The files below a root folder."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        """``clock`` tells which leases are over."""
        self._clock = clock
        self._root = root

    def read(self) -> Surroundings:
        """Read them all; what cannot be read is a gap."""
        leases, unread = read_leases(self._root, self._clock.now().timestamp())
        networks, unknown = read_networks(self._root)
        return Surroundings(leases=leases, networks=networks, gaps=(*unread, *unknown))

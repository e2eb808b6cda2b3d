"""What every alert says about the host that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.core.exchange import State
    from portguard.daemon.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWords:
    """Roles, present mode, and whose firewall it is as last seen."""

    roles: tuple[str, ...]
    mode: str
    manager: str


def host_words(site: Site, state: State) -> HostWords:
    """Say it as of now. The mode is the one in force, which may have been ordered."""
    mode = state.policy.mode if state.policy is not None else site.config.mode
    manager = state.judgement.manager.value if state.judgement is not None else "unknown"
    return HostWords(roles=site.config.roles, mode=mode.value, manager=manager)

"""What a command sees of the host: everything with the rights, and what everybody may see without them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.model.snapshot import Gap, Scope, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.exposure import Exposure


def see() -> tuple[Snapshot, Mapping[int, Exposure]]:
    """Look at the host once; listeners and addresses alone where no more is permitted, with a gap that says so.

    Raises ObserveError where the listeners cannot be read.
    """
    from portguard.cli import check  # noqa: PLC0415 - what --help need not pay

    sensitive: Mapping[int, Exposure] = {}
    try:
        snapshot, sensitive = check.look()
    except ObserveError as error:
        snapshot = _without_rights(str(error))
    if snapshot.listeners is None:
        raise ObserveError("; ".join(f"{gap.scope}: {gap.reason}" for gap in snapshot.gaps))
    return snapshot, sensitive


def _without_rights(reason: str) -> Snapshot:
    """See what everybody may: listeners and addresses. Raises ObserveError."""
    from portguard.kernel.links import RouteReader  # noqa: PLC0415
    from portguard.kernel.sockets import SocketTable  # noqa: PLC0415

    with closing(SocketTable()) as sockets, closing(RouteReader()) as links:
        return Snapshot(
            listeners=sockets.listeners(),
            ruleset=None,
            links=links.read(),
            gaps=(*sockets.owner_gaps(), Gap(scope=Scope.RULESET, reason=reason)),
        )

"""Who did it, in full: what is found out about the authors of changes when their heal is done and before anybody is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.kernel.background import of_this_host
from portguard.model.ruleset import Actor

if TYPE_CHECKING:
    from portguard.core.exchange import Heal
    from portguard.core.lifecycle import Alert
    from portguard.kernel.background import Background


class Authors:
    """Completes the actors of heals and alerts. A heal never waits for it."""

    def __init__(self, background: Background | None = None) -> None:
        self._background = background or of_this_host()

    def of_heal(self, heal: Heal) -> Heal:
        """Complete the author of what was just healed, for the alerts and the status that follow."""
        return heal if heal.actor is None else replace(heal, actor=self._background.complete(heal.actor))

    def of_alert(self, alert: Alert) -> Alert:
        """Complete the author that an alert names, in its evidence and in its sentence.

        The alert of a drift is made together with the order to heal it, when no more was known than could be read at once.
        """
        finding = alert.finding
        actor = finding.evidence.get("actor")
        if not isinstance(actor, Actor):
            return alert
        known = self._background.complete(actor)
        if known == actor:
            return alert
        return replace(
            alert,
            finding=replace(
                finding,
                message=finding.message.replace(str(actor), str(known)),
                evidence={**finding.evidence, "actor": known},
            ),
        )

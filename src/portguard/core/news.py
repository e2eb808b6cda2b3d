"""What portguard has to say about itself: its configuration, its mode, that it is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.lifecycle import Alert, AlertState
from portguard.model.finding import Finding, Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from portguard.core.exchange import State
    from portguard.model.policy import Policy

_SHOWN = 5
"""Faults of a rejected configuration that fit into one alert; the status has them all."""


def changed(before: Policy | None, after: Policy, when: datetime) -> Iterator[Alert]:
    """Tell that another policy is in force, and that it may write more or less than before."""
    if before is None or before == after:
        return
    yield _news(Kind.CONFIG_CHANGED, Severity.NOTICE, "the configuration changed and is in force", when)
    if before.mode is not after.mode:
        modes = f"from {before.mode.value} to {after.mode.value}"
        yield _news(Kind.MODE_CHANGED, Severity.NOTICE, f"the mode changed {modes}", when)


def rejected(known: Sequence[str], faults: Sequence[str], when: datetime) -> Iterator[Alert]:
    """Tell that a changed configuration is at fault and the old policy stays in force; ``known`` faults are told once.

    A file is read when it was written, and again when somebody asks for a reload.
    """
    if known == faults:
        return
    shown = "; ".join(faults[:_SHOWN])
    if len(faults) > _SHOWN:
        shown += f"; and {len(faults) - _SHOWN} more"
    message = f"the changed configuration is rejected, the old one stays: {shown}"
    yield _news(Kind.CONFIG_REJECTED, Severity.ERROR, message, when)


def heartbeat(state: State, when: datetime) -> Iterator[Alert]:
    """Tell that the guard is alive, with what a SIEM needs to notice that two hosts have drifted apart."""
    judgement, policy = state.judgement, state.policy
    if judgement is None or policy is None:
        return
    message = (
        f"{judgement.verdict.value}: {judgement.summary}; {len(state.book.firing())} findings, "
        f"{len(state.records)} recent heals, configuration {policy.config_digest[:12]}, "
        f"catalogue {policy.catalogue_digest[:12]}"
    )
    yield _news(Kind.HEARTBEAT, Severity.INFO, message, when)


def mode_changed(text: str, when: datetime) -> Alert:
    """Tell what became of an order."""
    return _news(Kind.MODE_CHANGED, Severity.NOTICE, text, when)


def _news(kind: Kind, severity: Severity, message: str, when: datetime) -> Alert:
    finding = Finding(kind=kind, severity=severity, message=message)
    return Alert(finding=finding, state=AlertState.FIRING, since=when)

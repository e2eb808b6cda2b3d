"""What became of the heals: proven, still shut, refused, or given up for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core.exchange import HealRecord
from portguard.core.lifecycle import Alert, AlertState
from portguard.core.render import OWN_TABLE
from portguard.model.finding import Finding, Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portguard.core.exchange import Moment, State
    from portguard.model.judgement import Judgement
    from portguard.model.policy import Policy

REMEMBERED = 50
"""Heals that the status shows."""


def verify(state: State, judgement: Judgement, at: Moment) -> tuple[State, tuple[Alert, ...]]:
    """Hold the heals that the kernel took against what the paths say now."""
    # What is denied on purpose is no failure of a heal.
    shut = {row.service.key for row in judgement.services if row.by_default}
    alerts = []
    records = list(state.records)
    tried = set(state.tried)
    for done, took_ms in state.unverified:
        failed = {key for key in shut if key[0] in done.flows}
        tried |= failed
        still = sorted({key[0] for key in failed})
        flow = done.flows[0] if len(done.flows) == 1 else ""
        records.append(HealRecord(when=at.when, flow=flow, what=done.what, took_ms=took_ms, actor=done.actor))
        tail = f"; still shut: {', '.join(still)}" if still else ""
        alerts.append(
            Alert(
                finding=Finding(
                    kind=Kind.RULE_HEALED,
                    severity=Severity.NOTICE,
                    message=f"{done.what}; put right in {took_ms:.1f} ms{tail}",
                    subject=" ".join(sorted(done.keys)) or done.what,
                    flow=flow or None,
                    evidence={
                        "took_ms": round(took_ms, 3),
                        "actor": done.actor,
                        "rules": list(done.evidence),
                    },
                ),
                state=AlertState.RESOLVED,
                since=at.when,
            )
        )
    state = replace(
        state,
        unverified=(),
        tried=frozenset(tried & shut),
        records=tuple(records[-REMEMBERED:]),
    )
    return state, tuple(alerts)


def own_findings(state: State, judgement: Judgement) -> Iterator[Finding]:
    """Findings about portguard's own work."""
    if state.usurped:
        yield Finding(
            kind=Kind.HEAL_FAILED,
            severity=Severity.CRITICAL,
            message=f"table {OWN_TABLE} was made by somebody else: nothing is written until it is renamed or deleted",
            subject=f"table {OWN_TABLE}",
        )
    for key, why in sorted(state.refused.items()):
        yield Finding(
            kind=Kind.HEAL_FAILED,
            severity=Severity.CRITICAL,
            message=f"the kernel refused to heal {key}: {why}",
            subject=key,
            evidence={"reason": why},
        )
    for key, row in sorted(state.limiter.fights().items()):
        yield Finding(
            kind=Kind.HEAL_SUSPENDED,
            severity=Severity.CRITICAL,
            message=f"{row.actor or 'somebody'} keeps undoing {key}: healed {len(row.heals)} times, now trying less often",
            subject=key,
            evidence={"actor": row.actor, "heals": len(row.heals)},
        )
    for verdict in judgement.services:
        if verdict.service.key in state.tried and verdict.by is not None:
            yield Finding(
                kind=Kind.HEAL_INEFFECTIVE,
                severity=Severity.CRITICAL,
                message=f"{verdict.service.flow} is still shut for {verdict.service.zone} after a heal, by {verdict.by}",
                transport=verdict.service.transport,
                port=verdict.service.ports.first if verdict.service.ports else None,
                flow=verdict.service.flow,
                zone=verdict.service.zone,
                evidence={"table": str(verdict.by.table), "chain": verdict.by.chain, "text": verdict.by.text},
            )


def grace(policy: Policy) -> Mapping[Kind, float]:
    """Say how long each kind has to hold before people are told."""
    return {
        Kind.LISTENER_MISSING: policy.listener_grace,
        Kind.LISTENER_LOOPBACK_ONLY: policy.listener_grace,
        Kind.LISTENER_UNEXPECTED: 1.0,
        # What the next transaction opens again is told as a heal, not as an outage of every single port.
        Kind.REQUIRED_PORT_BLOCKED: policy.limits.settle + 1.0 if policy.mode.writes else 0.0,
        Kind.FLOW_WIDER: 1.0,
    }

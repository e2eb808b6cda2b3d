"""Spell a judgement as the JSON that ``check --json`` and the status file promise (``docs/status.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portguard.model.ruleset import Actor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from portguard.core.exchange import HealRecord
    from portguard.core.lifecycle import Alert
    from portguard.model.judgement import Judgement, ServiceVerdict
    from portguard.model.policy import Policy
    from portguard.model.ruleset import RuleRef

SCHEMA = 1


def report(
    policy: Policy,
    judgement: Judgement,
    alerts: Iterable[Alert],
    heals: Iterable[HealRecord],
    *,
    host: str,
    when: datetime,
    daemon: dict[str, Any] | None,
    order: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the whole document. ``alerts`` are the findings that hold, each with since when and how often."""
    return {
        "schema": SCHEMA,
        "host": host,
        "time": when.isoformat(timespec="milliseconds"),
        "role": list(policy.roles),
        "mode": policy.mode.value,
        **({"order": order} if order is not None else {}),
        "manager": judgement.manager.value,
        "verdict": judgement.verdict.value,
        "summary": judgement.summary,
        "services": [_service(row) for row in judgement.services],
        "findings": [finding_json(alert) for alert in alerts],
        "heals": [
            {
                "time": heal.when.isoformat(timespec="milliseconds"),
                "flow": heal.flow,
                "what": heal.what,
                "took_ms": round(heal.took_ms, 3),
                "actor": actor_json(heal.actor),
            }
            for heal in heals
        ],
        "gaps": [{"scope": gap.scope, "reason": gap.reason} for gap in judgement.gaps],
        **({"daemon": daemon} if daemon is not None else {}),
    }


def _service(row: ServiceVerdict) -> dict[str, Any]:
    service, socket = row.service, row.socket
    return {
        "flow": service.flow,
        "transport": service.transport.value,
        "port": service.ports.first if service.ports is not None else None,
        "ports": [service.ports.first, service.ports.last] if service.ports is not None else None,
        "direction": service.direction.value,
        "zone": service.zone,
        "need": service.need,
        "listener": {
            "state": row.listener.value,
            "address": str(socket.address) if socket is not None else None,
            "unit": socket.owner.unit if socket is not None else None,
            "process": socket.owner.process if socket is not None else None,
            "pid": socket.owner.pid if socket is not None else None,
        },
        "path": {"state": row.path.value, "by": rule_json(row.by), "reason": row.reason},
        "verdict": row.verdict.value,
    }


def finding_json(alert: Alert) -> dict[str, Any]:
    """Spell one finding that holds."""
    finding = alert.finding
    return {
        "id": finding.id,
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "state": alert.state.value,
        "message": finding.message,
        "since": alert.since.isoformat(timespec="milliseconds"),
        "count": alert.count,
        "transport": finding.transport.value if finding.transport is not None else None,
        "address": finding.address,
        "port": finding.port,
        "flow": finding.flow,
        "zone": finding.zone,
        "unit": finding.unit,
        "evidence": {
            key: actor_json(value) if isinstance(value, Actor) else value
            for key, value in finding.evidence.items()
        },
    }


def rule_json(ref: RuleRef | None) -> dict[str, Any] | None:
    """Spell what decides; None where nothing on the path has a say."""
    if ref is None:
        return None
    return {"table": str(ref.table), "chain": ref.chain, "handle": ref.handle, "text": ref.text}


def actor_json(actor: Actor | None) -> dict[str, Any] | None:
    """Spell who did it, as far as known."""
    if actor is None:
        return None
    return {
        "comm": actor.comm,
        "pid": actor.pid,
        "parent": actor.parent,
        "parents": list(actor.parents),
        "unit": actor.unit,
        "loginuid": actor.loginuid,
        "login": actor.login,
        "session": actor.session,
        "remote": actor.remote,
        "exe": actor.exe,
        "package": actor.package,
        "audited": actor.audited,
    }

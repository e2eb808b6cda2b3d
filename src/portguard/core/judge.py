"""Judge one snapshot against the policy: a verdict for each service, and every finding. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core import manager as managers
from portguard.core.exposed import listener_findings
from portguard.core.owner import Owner, owner_of
from portguard.core.reach import Reach
from portguard.core.remedy import remedy
from portguard.core.reserved import reserved_findings
from portguard.model.finding import Finding, Kind, Severity, Verdict
from portguard.model.judgement import Judgement, ListenerState, PathState, ServiceVerdict
from portguard.model.net import EVERYTHING, Transport
from portguard.model.path import Branch, Outcome
from portguard.model.policy import Direction, Manager, opened_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.model.exposure import Exposure
    from portguard.model.listener import Listener
    from portguard.model.policy import Policy, Service
    from portguard.model.ruleset import RuleRef
    from portguard.model.snapshot import Gap, Snapshot

_ORDER = {severity: rank for rank, severity in enumerate(Severity)}
_UNJUDGED = (Kind.VISIBILITY_DEGRADED, Kind.ROLE_UNDEFINED)
"""Without what these miss there is no verdict."""

NO_ROLE = "no role is configured; propose one with: sudo portguard init"
"""What a fresh installation says."""


def judge(
    policy: Policy, snapshot: Snapshot, sensitive: Mapping[int, Exposure], reach: Reach | None = None
) -> Judgement:
    """Conclude everything that can be concluded, and say unknown of the rest.

    ``sensitive`` names what must never be exposed, by the cookie of its socket.
    ``reach`` is over the same snapshot, where somebody has asked it already.
    """
    reach = reach or Reach(snapshot.ruleset, snapshot.links, snapshot.listeners)
    services = tuple(_service(service, snapshot, reach) for service in policy.services)
    listening = list(listener_findings(policy, snapshot.with_brief(), reach, sensitive))
    if not policy.roles:
        # Of a server that nobody has said anything about, nothing is known to be documented, so nothing is undocumented.
        listening = [row for row in listening if row.kind not in (Kind.LISTENER_UNEXPECTED, Kind.FLOW_WIDER)]
    findings = [
        *_gap_findings(snapshot.gaps),
        *_undefined_findings(policy),
        *_service_findings(services, snapshot),
        *listening,
        *reserved_findings(policy, snapshot),
    ]
    findings.sort(key=lambda finding: (_ORDER[finding.severity], finding.kind, finding.port or 0, finding.id))
    detected = managers.detect(snapshot.ruleset) if snapshot.ruleset is not None else Manager.UNKNOWN
    verdict = overall(services, findings)
    return Judgement(
        services=services,
        findings=tuple(findings),
        gaps=snapshot.gaps,
        manager=policy.manager or detected,
        verdict=verdict,
        summary=summary(services, findings, snapshot.gaps, verdict),
    )


def overall(services: Sequence[ServiceVerdict], findings: Sequence[Finding]) -> Verdict:
    """Worst of all: a proven fault outweighs what is unknown, and what is unknown outweighs a warning."""
    verdicts = {service.verdict for service in services}
    severities = {finding.severity for finding in findings}
    if Verdict.CRITICAL in verdicts or severities & {Severity.CRITICAL, Severity.ERROR} - _unknown_only(
        findings
    ):
        return Verdict.CRITICAL
    if Verdict.UNKNOWN in verdicts or any(finding.kind in _UNJUDGED for finding in findings):
        return Verdict.UNKNOWN
    return Verdict.WARNING if Verdict.WARNING in verdicts or Severity.WARNING in severities else Verdict.OK


def _unknown_only(findings: Sequence[Finding]) -> set[Severity]:
    """Severities that only gaps carry: not seeing is unknown, not critical."""
    proven = {finding.severity for finding in findings if finding.kind is not Kind.VISIBILITY_DEGRADED}
    return {Severity.CRITICAL, Severity.ERROR} - proven


def summary(
    services: Sequence[ServiceVerdict], findings: Sequence[Finding], gaps: Sequence[Gap], verdict: Verdict
) -> str:
    """Say it in one sentence."""
    inbound = [row for row in services if row.service.direction is Direction.INBOUND]
    fine = sum(row.verdict is Verdict.OK for row in inbound)
    text = f"{fine} of {len(inbound)} documented inbound services are as they should be"
    serious = [
        row for row in findings if row.severity in (Severity.CRITICAL, Severity.ERROR, Severity.WARNING)
    ]
    if any(row.kind is Kind.ROLE_UNDEFINED for row in findings):
        text = f"{serious[0].message}"
        if len(serious) > 1:
            text += f" (and {len(serious) - 1} more)"
    elif verdict is not Verdict.OK and serious:
        text += f"; {serious[0].message}"
        if len(serious) > 1:
            text += f" (and {len(serious) - 1} more)"
    elif gaps:
        text += f"; {gaps[0].scope} could not be read"
    return text


# --- services --------------------------------------------------------------------------------------------------


def _service(service: Service, snapshot: Snapshot, reach: Reach) -> ServiceVerdict:
    listener, socket = _listener(service, snapshot)
    if service.direction is Direction.OUTBOUND:
        # Only what comes in is evaluated: of an outgoing path nothing is claimed, and nothing is alarmed about.
        return ServiceVerdict(
            service=service,
            listener=listener,
            socket=None,
            path=PathState.UNKNOWN,
            by=None,
            reason="outgoing paths are not evaluated",
            verdict=Verdict.OK,
        )
    path, branch = _path(service, reach)
    shut = path in (PathState.BLOCKED, PathState.PARTIAL)
    by_default = shut and branch is not None and branch.general
    missing = service.listener_expected and listener is ListenerState.ABSENT
    verdict = Verdict.OK
    if by_default or path is PathState.BLOCKED or missing:
        verdict = Verdict.CRITICAL
    elif (
        path is PathState.UNKNOWN and (opened_to(service) or service.local)
    ) or listener is ListenerState.UNKNOWN:
        verdict = Verdict.UNKNOWN
    elif path is PathState.PARTIAL or _wants_network(service, listener):
        verdict = Verdict.WARNING
    return ServiceVerdict(
        service=service,
        listener=listener,
        socket=socket,
        path=path,
        by=branch.by if branch is not None else None,
        reason=branch.reason if branch is not None else None,
        verdict=verdict,
        by_default=by_default,
    )


def _wants_network(service: Service, listener: ListenerState) -> bool:
    """Say whether a listener that others must reach is bound to loopback alone."""
    return listener is ListenerState.LOOPBACK and service.listener_expected and not service.local


def _listener(service: Service, snapshot: Snapshot) -> tuple[ListenerState, Listener | None]:
    if service.direction is Direction.OUTBOUND or service.ports is None or service.dynamic:
        return ListenerState.NOT_APPLICABLE, None
    if snapshot.listeners is None:
        return ListenerState.UNKNOWN, None
    serving = [
        row for row in snapshot.listeners if row.transport is service.transport and row.port in service.ports
    ]
    outside = [row for row in serving if not row.loopback]
    if outside:
        return ListenerState.LISTENING, max(outside, key=lambda row: (row.wildcard, len(row.versions)))
    if serving:
        return ListenerState.LOOPBACK, serving[0]
    return ListenerState.ABSENT, None


def _path(service: Service, reach: Reach) -> tuple[PathState, Branch | None]:
    """Judge the path of a service's zone, with the branch that decides: the worst one, or the one that lets it in."""
    peers = opened_to(service)
    if not peers and not service.local:
        # Nothing is claimed of a path for nobody; that the zone is undefined is a finding of its own.
        reason = f"no address of {service.zone} is known, so nobody is let in"
        return PathState.UNKNOWN, Branch(sources=peers, outcome=Outcome.UNKNOWN, by=None, reason=reason)
    if not peers or (service.ports is None and service.transport is not Transport.ICMP):
        # On this host itself, or without a port: there is no path that a firewall could shut.
        return PathState.OPEN, None
    # A zone's IPv6 part is in no report of a host without IPv6: it has no path that could be shut.
    reports = [report.within(peers) for report in reach.ports(service.transport, service.ports)]
    branches = [branch for report in reports for branch in report.branches]
    shut = [branch for branch in branches if branch.outcome in (Outcome.DROPPED, Outcome.REFUSED)]
    unknown = [branch for branch in branches if branch.outcome is Outcome.UNKNOWN]
    opened = [branch for branch in branches if branch.outcome is Outcome.OPEN]
    if shut:
        worst = next((branch for branch in shut if branch.general), shut[0])
        return (PathState.PARTIAL if opened or unknown else PathState.BLOCKED), worst
    if unknown:
        return PathState.UNKNOWN, unknown[0]
    if opened:
        return PathState.OPEN, opened[0]
    reason = "this host has no address of the zone's IP version"
    return PathState.UNKNOWN, Branch(sources=peers, outcome=Outcome.UNKNOWN, by=None, reason=reason)


def _service_findings(services: Sequence[ServiceVerdict], snapshot: Snapshot) -> Iterator[Finding]:
    missing: set[tuple[str, Transport, str]] = set()
    denied: dict[tuple[RuleRef, str], list[ServiceVerdict]] = {}
    for row in services:
        service = row.service
        if service.direction is Direction.OUTBOUND:
            continue
        ports = str(service.ports)
        where = f"{service.flow} ({ports}/{service.transport})"
        about = (service.flow, service.transport, ports)
        if service.listener_expected and row.listener is ListenerState.ABSENT and about not in missing:
            missing.add(about)
            yield Finding(
                kind=Kind.LISTENER_MISSING,
                severity=Severity.ERROR,
                message=f"nothing listens on {ports}/{service.transport}, which {service.flow} requires",
                transport=service.transport,
                port=_first(service),
                flow=service.flow,
            )
        if _wants_network(service, row.listener) and about not in missing:
            missing.add(about)
            yield Finding(
                kind=Kind.LISTENER_LOOPBACK_ONLY,
                severity=Severity.WARNING,
                message=f"{where} listens on loopback only; {service.zone} cannot reach it",
                transport=service.transport,
                address=str(row.socket.address) if row.socket else None,
                address_class="loopback",
                port=_first(service),
                flow=service.flow,
                unit=row.socket.owner.unit if row.socket else None,
            )
        if row.by is not None and row.path in (PathState.BLOCKED, PathState.PARTIAL):
            if row.by_default or row.path is PathState.BLOCKED:
                yield _blocked(row, snapshot)
            else:
                denied.setdefault((row.by, service.zone), []).append(row)
    for (by, zone), rows in denied.items():
        yield _denied(by, zone, rows)


def _blocked(row: ServiceVerdict, snapshot: Snapshot) -> Finding:
    """A default shuts a documented port: with the rule, whose table it is, and the command in that owner's language."""
    service, by = row.service, row.by
    assert by is not None
    owner = owner_of(snapshot.ruleset, by) if snapshot.ruleset is not None else None
    command = _command(service, owner, by)
    part = "part of " if row.path is PathState.PARTIAL else ""
    port = f"{service.ports or 'ping'}/{service.transport}"
    return Finding(
        kind=Kind.REQUIRED_PORT_BLOCKED,
        severity=Severity.ERROR,
        message=f"{port} of {service.flow} is blocked for {part}{service.zone} by {by}"
        + (f"; {owner} opens it with: {command}" if command else ""),
        transport=service.transport,
        port=_first(service),
        flow=service.flow,
        zone=service.zone,
        evidence={
            **_rule(by),
            "manager": owner.value if owner else None,
            **({"command": command} if command else {}),
        },
    )


def _command(service: Service, owner: Owner | None, by: RuleRef) -> str | None:
    """Give the command that opens it, where that is for somebody else to do."""
    if owner in (None, Owner.NFTABLES, Owner.PORTGUARD) or service.ports is None:
        return None
    peers = opened_to(service)
    networks = None if peers == EVERYTHING else list(peers.networks())
    return remedy(owner, by, service.transport, str(service.ports), networks, most=None)


def _denied(by: RuleRef, zone: str, rows: Sequence[ServiceVerdict]) -> Finding:
    """Somebody shuts part of a zone out on purpose (a ban, a deny): one finding for all ports, never healed."""
    flows = sorted({row.service.flow for row in rows})
    what = flows[0] if len(flows) == 1 else f"{len(flows)} documented flows"
    return Finding(
        kind=Kind.REQUIRED_PORT_BLOCKED,
        severity=Severity.WARNING,
        message=f"{what} is blocked for part of {zone} on purpose, by {by}"
        if len(flows) == 1
        else f"{what} are blocked for part of {zone} on purpose, by {by}",
        subject=f"{by.table} {by.chain} {by.text}",
        zone=zone,
        evidence={**_rule(by), "flows": flows},
    )


def _rule(by: RuleRef) -> dict[str, object]:
    return {"table": str(by.table), "chain": by.chain, "handle": by.handle, "text": by.text}


def _first(service: Service) -> int | None:
    return service.ports.first if service.ports is not None else None


# --- what could not be seen ------------------------------------------------------------------------------------


def _gap_findings(gaps: Sequence[Gap]) -> Iterator[Finding]:
    for gap in sorted(set(gaps)):
        yield Finding(
            kind=Kind.VISIBILITY_DEGRADED,
            severity=Severity.ERROR,
            message=f"{gap.scope} could not be read: {gap.reason}",
            subject=gap.scope,
            evidence={"reason": gap.reason},
        )


def _undefined_findings(policy: Policy) -> Iterator[Finding]:
    if not policy.roles:
        yield Finding(kind=Kind.ROLE_UNDEFINED, severity=Severity.WARNING, message=NO_ROLE)
    for row in policy.undefined:
        table = "hosts" if "/" in row.zone else "zones"
        effect = "so they are open to any address" if row.opened_to_anyone else "so nobody is let in"
        yield Finding(
            kind=Kind.ZONE_UNDEFINED,
            severity=Severity.WARNING,
            message=f"[{table}] does not define {row.zone}, which {', '.join(row.flows)} need, {effect}",
            subject=row.zone if row.opened_to_anyone else f"{row.zone}, closed",
            zone=row.zone,
            evidence={"flows": list(row.flows)},
        )

"""A role on a terminal or as JSON: what it accepts, what it opens, and where its components get in each other's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portguard.catalogue import query
from portguard.cli import flows, output
from portguard.errors import UsageError
from portguard.model.finding import ExitCode
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portguard.catalogue.query import Clash
    from portguard.model.flow import Catalogue

SCHEMA = 1
_NO_FEATURE = "none"


def show(catalogue: Catalogue, names: Sequence[str], features: Sequence[str] | None, *, as_json: bool) -> int:
    """Print one server's roles. Raises UsageError for a role or a feature that does not exist.

    Without ``features`` every documented feature is shown; with them only those, and those that the roles imply.
    """
    roles = [query.role(catalogue, name) for name in names]
    components = tuple(dict.fromkeys(name for role in roles for name in role.components))
    implied = tuple(dict.fromkeys(name for role in roles for name in role.features))
    inbound = query.inbound(catalogue, components)
    outbound = query.outbound(catalogue, components)
    known = flows.features((*inbound, *outbound))
    if features is not None:
        wanted = {*_checked(features, known, catalogue), *implied}
        inbound, outbound = query.in_use(inbound, wanted), query.in_use(outbound, wanted)
        known = [name for name in known if name in wanted]
    clashes = query.clashes(inbound)
    if as_json:
        output.print_json(
            {
                "schema": SCHEMA,
                "roles": [query.role_json(role) for role in roles],
                "components": list(components),
                "features": known,
                "zones": list(query.far_sides(catalogue, inbound, components)),
                "inbound": [query.flow_json(flow) for flow in inbound],
                "outbound": [query.flow_json(flow) for flow in outbound],
                "clashes": [_clash_json(clash) for clash in clashes],
            }
        )
        return ExitCode.OK
    console = output.console()
    for role in roles:
        console.print(f"[bold]{role.id}[/]: {flows.escaped(role.title)}")
    rows = (
        ("components", components),
        ("features", [name for name in known if name not in implied]),
        ("always on", implied),
        ("talks to", query.far_sides(catalogue, inbound, components)),
    )
    console.print(flows.facts((label, ", ".join(values)) for label, values in rows))
    for title, flows_, preposition in (("Inbound", inbound, "from"), ("Outbound", outbound, "to")):
        count = (
            "nothing is documented" if not flows_ else f"{len(flows_)} flow{'s' if len(flows_) > 1 else ''}"
        )
        console.print(f"\n[bold]{title}[/]: {count}")
        if flows_:
            console.print(
                flows.flow_table(flows_, preposition, inbound=preposition == "from", width=console.width)
            )
    if clashes:
        console.print("\n[bold]Ports that more than one component wants[/]")
    for clash in clashes:
        console.print(flows.escaped("\n".join(clash_lines(clash))))
    return ExitCode.OK


def _checked(features: Sequence[str], known: Sequence[str], catalogue: Catalogue) -> Iterator[str]:
    everywhere = flows.features(catalogue.flows)
    for name in features:
        if name == _NO_FEATURE:
            continue
        if name not in everywhere:
            raise UsageError(f"no feature {name!r}{did_you_mean(name, known or everywhere)}")
        yield name


def clash_lines(clash: Clash) -> Iterator[str]:
    """Say who wants a port twice, why that may be fine, and what can be done."""
    yield f"  {clash.ports}/{clash.transport}"
    for flow in clash.flows:
        cited = "; ".join(query.cites(flow.sources)) or "no document"
        yield f"    {flow.server}: {flow.purpose} ({flows.need(flow)}; {cited})"
    disputed = any(other.id in flow.disputes for flow in clash.flows for other in clash.flows)
    if disputed:
        yield "    The documents disagree about the owner: only one of them has to listen."
    if clash.settings:
        yield f"    Where both run, move one with the setting {' or '.join(clash.settings)}."
    elif not disputed:
        yield "    Where both run, one of them has to stand on another server."


def _clash_json(clash: Clash) -> dict[str, Any]:
    return {
        "transport": clash.transport.value,
        "ports": [clash.ports.first, clash.ports.last],
        "components": list(clash.components),
        "flows": [flow.id for flow in clash.flows],
        "settings": list(clash.settings),
    }

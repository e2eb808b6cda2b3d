"""What catalogue files say about each other: ids that stand twice, names that nothing defines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portguard.catalogue.part import Part
    from portguard.errors import Fault


def check_references(parts: list[Part], faults: list[Fault]) -> None:
    """Find ids that stand twice and names that nothing defines, across all files."""

    def ids(kind: str, rows: Callable[[Part], Iterable[Any]]) -> set[str]:
        seen: dict[str, str] = {}
        for part in parts:
            for number, row in enumerate(rows(part)):
                path = f"{kind}[{number}].id" if kind in {"component", "role", "flow"} else f"{kind}.{row.id}"
                if row.id and row.id in seen:
                    part.fault(path, f"{row.id!r} is defined twice, first in {seen[row.id]}")
                seen.setdefault(row.id, part.name)
        return set(seen)

    documents = ids("documents", lambda part: part.documents)
    zones = ids("zones", lambda part: part.zones)
    components = ids("component", lambda part: part.components)
    ids("role", lambda part: part.roles)
    flows = ids("flow", lambda part: part.flows)
    sides = zones | components
    features = {flow.feature for part in parts for flow in part.flows}
    for part in parts:
        for number, component in enumerate(part.components):
            if component.zone is not None and component.zone not in zones:
                part.fault(
                    f"component[{number}].zone",
                    f"no zone {component.zone!r}{did_you_mean(component.zone, zones)}",
                )
        for number, role in enumerate(part.roles):
            for name in role.components:
                if name not in components:
                    part.fault(
                        f"role[{number}].components", f"no component {name!r}{did_you_mean(name, components)}"
                    )
            for feature in role.features:
                if feature not in features:
                    part.fault(f"role[{number}].features", f"no flow has the feature {feature!r}")
        for number, flow in enumerate(part.flows):
            path = f"flow[{number}]"
            for key, names in (("clients", flow.clients), ("server", (flow.server,))):
                for name in names:
                    if name and name not in sides:
                        part.fault(
                            f"{path}.{key}", f"no component or zone {name!r}{did_you_mean(name, sides)}"
                        )
            if not flow.clients:
                part.fault(f"{path}.clients", "names nobody")
            for source in flow.sources:
                if source.document not in documents:
                    part.fault(f"{path}.sources", f"no document {source.document!r}")
            for name in flow.disputes:
                if name not in flows:
                    part.fault(f"{path}.disputes", f"no flow {name!r}{did_you_mean(name, flows)}")
    faults.sort(key=lambda fault: (fault.file, fault.line or 0))

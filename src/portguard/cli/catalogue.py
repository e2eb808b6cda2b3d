"""``portguard catalogue``: what the documents hold, what a role needs, and whether an own file is right."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.catalogue import load, query
from portguard.cli import documents, flows
from portguard.errors import ConfigError
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rich.console import Console

    from portguard.catalogue.query import Clash
    from portguard.model.flow import Catalogue

SCHEMA = 1

_EPILOG = """\
examples:
  portguard catalogue                              products, roles and components
  portguard catalogue show printum/printmanager    what this role accepts and opens
  portguard catalogue check site.toml              is my own product file right?
  portguard catalogue --json                       everything, for other programs

exit codes: 0 ok, 64 no such role, 78 a catalogue file is at fault
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "catalogue",
        help="show products, components, roles and flows; check an own file",
        description="Show what the vendors document: products, components, roles, flows.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    documents.add_options(parser)
    parser.set_defaults(run=run, action="list")
    actions = parser.add_subparsers(dest="action", metavar="list | show ROLE | check FILE")
    listing = actions.add_parser(
        "list",
        help="products, roles and components (the default)",
        description="List products, roles, components.",
    )
    show = actions.add_parser(
        "show",
        help="the flows of a role",
        description="Show what a role accepts and opens, with the line of the document behind each flow.",
        epilog="example:\n  portguard catalogue show printum/printmanager\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument(
        "role", metavar="ROLE", nargs="+", help="one role or component, or several on one server"
    )
    check = actions.add_parser(
        "check",
        help="validate a catalogue file of your own",
        description="Validate a file of this site's own products together with the shipped catalogue. Every fault is\n"
        "printed with its line; a file without faults is summed up. Nothing is installed.",
        epilog="example:\n  portguard catalogue check site.toml && cp site.toml /etc/portguard/catalogue.d/\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("file", metavar="FILE", type=Path, help="the file, in the format of docs/catalogue.md")
    for action in (listing, show, check):
        documents.add_options(action, nested=True)


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand asks for."""
    if args.action == "check":
        return _check(args)
    catalogue = documents.catalogue(args.config)
    if args.action == "show":
        return _show(catalogue, args)
    if args.json:
        _json(query.to_json(catalogue))
    else:
        _list(flows.console(), catalogue)
    return ExitCode.OK


def _list(console: Console, catalogue: Catalogue) -> None:
    out = flows.table("Document", "Product", "Title", "Flows")
    for row in catalogue.documents:
        citing = sum(any(source.document == row.id for source in flow.sources) for flow in catalogue.flows)
        out.add_row(row.id, row.product, flows.escaped(row.title), str(citing))
    console.print(out)
    out = flows.table("Role", "What the server is")
    for role in catalogue.roles:
        out.add_row(role.id, flows.escaped(role.title))
    console.print()
    console.print(out)
    out = flows.table("Component", "What it is")
    for component in catalogue.components:
        silent = "" if component.listens else " [dim](accepts nothing)[/]"
        out.add_row(component.id, flows.escaped(component.title) + silent)
    console.print()
    console.print(out)
    console.print("\nA component that accepts connections is also a role of itself alone.", style="dim")


def _show(catalogue: Catalogue, args: argparse.Namespace) -> int:
    roles = [query.role(catalogue, name) for name in args.role]
    components = tuple(dict.fromkeys(name for role in roles for name in role.components))
    inbound = query.inbound(catalogue, components)
    outbound = query.outbound(catalogue, components)
    clashes = query.clashes(catalogue, components)
    if args.json:
        _json(
            {
                "schema": SCHEMA,
                "roles": [query.role_json(role) for role in roles],
                "components": list(components),
                "features": flows.features((*inbound, *outbound)),
                "inbound": [query.flow_json(flow) for flow in inbound],
                "outbound": [query.flow_json(flow) for flow in outbound],
                "clashes": [_clash_json(clash) for clash in clashes],
            }
        )
        return ExitCode.OK
    console = flows.console()
    for role in roles:
        console.print(f"[bold]{role.id}[/]: {flows.escaped(role.title)}")
    facts = flows.table("", "")
    facts.show_header = False
    facts.box = None
    facts.add_row("components", ", ".join(components))
    for label, values in (
        ("features", flows.features((*inbound, *outbound))),
        ("zones", _far_sides(catalogue, components)),
    ):
        if values:
            facts.add_row(label, ", ".join(values))
    console.print(facts)
    for title, rows, heading in (("Inbound", inbound, "From"), ("Outbound", outbound, "To")):
        console.print(f"\n[bold]{title}[/]: {'nothing is documented' if not rows else f'{len(rows)} flows'}")
        if rows:
            console.print(flows.flow_table(rows, heading, inbound=heading == "From", width=console.width))
    if clashes:
        console.print("\n[bold]Ports that more than one component wants[/]")
    for clash in clashes:
        console.print(flows.escaped("\n".join(clash_lines(clash))))
    return ExitCode.OK


def _far_sides(catalogue: Catalogue, components: Collection[str]) -> list[str]:
    """Name the zones and other servers' components that let in: what the configuration has to define."""
    sides = {
        client
        for flow in query.inbound(catalogue, components)
        if not query.local_only(flow)
        for client in flow.clients
        if client not in components and client != "any"
    }
    return sorted(sides, key=lambda side: ("/" in side, side))


def clash_lines(clash: Clash) -> Iterator[str]:
    """Say who wants a port twice, why that may be fine, and what can be done."""
    yield f"  {clash.ports}/{clash.transport}"
    for flow in clash.flows:
        yield f"    {flow.server}: {flow.purpose} ({', '.join(map(str, flow.sources))}; {flow.need})"
    disputed = any(other.id in flow.disputes for flow in clash.flows for other in clash.flows)
    if disputed:
        yield "    The documents disagree about the owner: only one of them has to listen."
    if clash.settings:
        yield f"    Move one of them with the setting {' or '.join(clash.settings)}."
    elif not disputed:
        yield "    One of them has to stand on another server."


def _clash_json(clash: Clash) -> dict[str, Any]:
    return {
        "transport": clash.transport.value,
        "ports": [clash.ports.first, clash.ports.last],
        "components": list(clash.components),
        "flows": [flow.id for flow in clash.flows],
        "settings": list(clash.settings),
    }


def _check(args: argparse.Namespace) -> int:
    """Validate the file as if it replaced its namesake in the folder of own files."""
    others = [path for path in documents.own_files(args.config) if path.name != args.file.name]
    try:
        before = load.load(others)
        after = load.load([*others, args.file])
    except ConfigError as error:
        if args.json:
            _json({"schema": SCHEMA, "faults": [_fault_json(fault) for fault in error.faults]})
        else:
            sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
            count = len(error.faults)
            sys.stderr.write(f"{args.file}: {count} fault{'s' if count > 1 else ''}\n")
        return ExitCode.CONFIG
    added = {
        key: [row["id"] if "id" in row else row["network"] for row in rows if row not in was[key]]
        for was in [query.to_json(before)]
        for key, rows in query.to_json(after).items()
        if isinstance(rows, list)
    }
    if args.json:
        _json({"schema": SCHEMA, "faults": [], "adds": added})
        return ExitCode.OK
    console = flows.console()
    nothing = "" if any(added.values()) else "; it adds nothing"
    console.print(flows.escaped(f"{args.file}: no fault{nothing}"), soft_wrap=True)
    out = flows.table("", "")
    out.show_header = False
    out.box = None
    for key, ids in added.items():
        if ids:
            out.add_row(f"  {key}", ", ".join(ids))
    console.print(out)
    return ExitCode.OK


def _fault_json(fault: Any) -> dict[str, Any]:
    return {"file": fault.file, "line": fault.line, "path": fault.path, "message": fault.message}


def _json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

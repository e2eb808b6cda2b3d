"""``portguard catalogue``: what the documents hold, what a role needs, and whether an own file is right."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.catalogue import load, query
from portguard.cli import documents, flows, output, roles
from portguard.errors import ConfigError
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

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
        epilog="examples:\n"
        "  portguard catalogue show printum/printmanager\n"
        "  portguard catalogue show safeq6/site-server --feature embedded-terminal:ricoh --feature ftp-scan\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument(
        "role", metavar="ROLE", nargs="+", help="one role or component, or several on one server"
    )
    show.add_argument(
        "--feature",
        metavar="NAME",
        action="append",
        help="leave out the features that are not named; can be given several times, and as 'none'",
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
        return roles.show(catalogue, args.role, args.feature, as_json=args.json)
    if args.json:
        output.print_json(query.to_json(catalogue))
    else:
        _list(output.console(), catalogue)
    return ExitCode.OK


def _list(console: Console, catalogue: Catalogue) -> None:
    out = flows.table("Document", "Product", "Title", "Flows")
    for row in sorted(catalogue.documents, key=lambda row: row.id):
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
        silent = "" if component.listens else " [dim](no documented port)[/]"
        out.add_row(component.id, flows.escaped(component.title) + silent)
    console.print()
    console.print(out)
    console.print("\nA component that accepts connections is also a role of itself alone.", style="dim")


def _check(args: argparse.Namespace) -> int:
    """Validate the file as if it replaced its namesake in the folder of own files."""
    others = [path for path in documents.own_files(args.config) if path.name != args.file.name]
    try:
        load.load([*others, args.file])
    except ConfigError as error:
        if args.json:
            output.print_json({"schema": SCHEMA, "faults": [_fault_json(fault) for fault in error.faults]})
        else:
            sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
            count = len(error.faults)
            sys.stderr.write(f"{args.file}: {count} fault{'s' if count > 1 else ''}\n")
        return ExitCode.CONFIG
    adds = _contents(args.file)
    if args.json:
        output.print_json({"schema": SCHEMA, "faults": [], "adds": adds})
        return ExitCode.OK
    console = output.console()
    nothing = "" if any(adds.values()) else "; it adds nothing"
    console.print(flows.escaped(f"{args.file}: no fault{nothing}"), soft_wrap=True)
    console.print(flows.facts((f"  {key}", ", ".join(ids)) for key, ids in adds.items()))
    return ExitCode.OK


def _contents(path: Path) -> dict[str, list[str]]:
    """Name what a file without faults holds, under the names of ``catalogue --json``."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        "documents": list(document.get("documents", {})),
        "zones": list(document.get("zones", {})),
        **{f"{key}s": [row["id"] for row in document.get(key, [])] for key in ("component", "role", "flow")},
        "reserved": [row["network"] for row in document.get("reserved", [])],
    }


def _fault_json(fault: Any) -> dict[str, Any]:
    return {"file": fault.file, "line": fault.line, "path": fault.path, "message": fault.message}

"""``portguard explain``: which documented flows use a port, and which document and line says so."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from portguard.catalogue import query
from portguard.cli import documents, flows, output
from portguard.errors import UsageError
from portguard.model.finding import ExitCode
from portguard.model.net import PortRange, Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from portguard.catalogue.query import Use
    from portguard.model.flow import Catalogue

SCHEMA = 1
_BLOCKS = 5
"""More flows than this are listed as a table: everybody uses 443."""

_EPILOG = """\
examples:
  portguard explain 9898                          every product that documents 9898
  portguard explain 5353/udp                      only UDP
  portguard explain 443 --role printum/portal     only what this role accepts or opens

exit codes:
  0   a document says what the port is for
  1   none does; a port inside a wide dynamic range is not documented by it
  64  the port or the role does not exist
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "explain",
        help="say which documented flows use a port",
        description="Say which documented flows use a port, for what, and which document and line says so.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", metavar="PORT[/tcp|udp]", help="a port number, for example 9898 or 5353/udp")
    parser.add_argument("--role", metavar="ROLE", help="only flows that this role accepts or opens")
    documents.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, and say by the exit code whether any document does."""
    port, transport = parse_port(args.port)
    catalogue = documents.catalogue(args.config)
    components = query.role(catalogue, args.role).components if args.role else None
    uses = query.using(catalogue, port, transport, components)
    documented = any(use.documents for use in uses)
    near = () if documented else query.nearest(catalogue, port, transport)
    if args.json:
        document = {
            "schema": SCHEMA,
            "port": port,
            "transport": transport.value if transport else None,
            "role": args.role,
            "documented": documented,
            "uses": [
                {
                    "match": use.match.name.lower(),
                    "flow": query.flow_json(use.flow),
                    "disputed_by": [row.id for row in query.disputes(catalogue, use.flow)],
                }
                for use in uses
            ],
            "near": [{"ports": [use.ports.first, use.ports.last], "flow": use.flow.id} for use in near],
        }
        output.print_json(document)
    else:
        _print(output.console(), catalogue, args, uses, near)
    return ExitCode.OK if documented else ExitCode.WARNING


def parse_port(text: str) -> tuple[int, Transport | None]:
    """Read ``9898`` or ``9898/tcp``. Raises UsageError."""
    number, slash, name = text.partition("/")
    if slash and name not in (Transport.TCP, Transport.UDP):
        raise UsageError(f"{text!r}: the transport is tcp or udp")
    try:
        ports = PortRange.parse(number)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if len(ports) > 1:
        raise UsageError(f"{text!r} is a range; explain takes one port")
    return ports.first, Transport(name) if slash else None


def _print(
    console: Console, catalogue: Catalogue, args: argparse.Namespace, uses: Sequence[Use], near: Sequence[Use]
) -> None:
    named = [use for use in uses if use.documents]
    where = f" in the role {args.role}" if args.role else ""
    if named:
        count = "1 documented flow uses it" if len(named) == 1 else f"{len(named)} documented flows use it"
        console.print(f"[bold]{args.port}[/]: {count}{where}")
    else:
        console.print(f"[bold]{args.port}[/]: no document says what it is for{where}")
    if len(named) > _BLOCKS:
        console.print()
        console.print(_overview(named))
        console.print("Narrow it down with --role, or see everything with --json.", style="dim")
    else:
        for use in named:
            console.print()
            console.print(flows.block(catalogue, use))
    wide = [use for use in uses if not use.documents]
    if wide:
        console.print()
    for sentence in wide_sentences(wide):
        console.print(sentence)
    if uses:
        console.print(
            "\n" + "\n".join(flows.document_lines(catalogue, [use.flow for use in uses])), style="dim"
        )
    if near:
        console.print("\nThe nearest documented ports:")
        for use in near:
            console.print(f"  {use.ports}/{use.flow.transport}  {use.flow.id}")


def wide_sentences(uses: Sequence[Use]) -> list[str]:
    """Say that ranges hold the port without documenting it, one sentence for each range."""
    holders: dict[tuple[query.Match, PortRange, Transport], list[str]] = {}
    for use in uses:
        cited = "; ".join(query.cites(use.flow.sources))
        key = (use.match, use.ports, use.flow.transport)
        holders.setdefault(key, []).append(f"{use.flow.id} ({cited})")
    return [
        f"Among the source ports {ports} of {', '.join(flows_)}: never a listener."
        if match is query.Match.SOURCE
        else f"Inside {ports}/{transport} of {', '.join(flows_)}, from which ports are picked at run time: "
        "that documents no listener."
        for (match, ports, transport), flows_ in holders.items()
    ]


def _overview(uses: Sequence[Use]) -> object:
    out = flows.table("Port", "Server", "Clients", "Need", "Purpose", "Source")
    for use in uses:
        flow = use.flow
        out.add_row(
            f"{use.ports}/{flow.transport}",
            flow.server,
            "\n".join(flow.clients),
            flows.need(flow),
            flow.purpose,
            "\n".join(query.cites(flow.sources)),
        )
    return out

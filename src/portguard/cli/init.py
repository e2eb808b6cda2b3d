"""``portguard init``: propose a configuration from what listens here; written only on request."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard import __version__
from portguard.cli import output
from portguard.cli.paths import CONFIG
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.core.proposal import Proposal, Seen
    from portguard.core.roles import Candidate

SCHEMA = 1

_EPILOG = """\
examples:
  sudo portguard init                             print a commented configuration, and change nothing
  sudo portguard init --role printum/all-in-one   for a role that you name, whatever listens
  sudo portguard init --write                     save it as conf.d/50-init.toml beside the configuration

It proposes mode "observe", in which portguard writes to no firewall. Without root it cannot see which program
listens, and says so.

exit codes: 0 proposed, 1 no role fits, 3 the listeners could not be read, 64 usage, 78 the result has a fault
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "init",
        help="propose a configuration from what listens here",
        description="Propose role, zones and manager from what listens here, as a commented configuration.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--role", metavar="ROLE", action="append", help="take this role; may be given several times"
    )
    parser.add_argument("--write", action="store_true", help="save the proposal")
    parser.add_argument(
        "--force", action="store_true", help="with --write: replace what somebody edited, too"
    )
    parser.add_argument("--json", action="store_true", help="print the proposal and its evidence as JSON")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=CONFIG, help=f"configuration (default: {CONFIG})"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, propose, print, and write where that was asked for."""
    from portguard.catalogue import query  # noqa: PLC0415 - what --help need not pay
    from portguard.catalogue.load import LOCAL_CATALOGUE, load, local_files  # noqa: PLC0415
    from portguard.cli import init_file  # noqa: PLC0415
    from portguard.cli.paths import configured  # noqa: PLC0415
    from portguard.core import proposal, proposal_text, roles  # noqa: PLC0415

    catalogue = load(local_files(configured(args.config, "catalogue", LOCAL_CATALOGUE)))
    given = tuple(dict.fromkeys(query.role(catalogue, name).id for name in args.role or ()))
    target = init_file.target(args.config)
    if args.write:
        init_file.refuse_to_overwrite(args.config, target, force=args.force)
    seen = look()
    found = roles.candidates(catalogue, seen.listeners, given=given)
    proposed = proposal.propose(catalogue, found, seen, given=given)
    text = proposal_text.text(proposed, head=_head()) if proposed.roles else ""
    if args.write and text:
        init_file.write(args.config, target, text)
    if args.json:
        output.print_json(_json(proposed, text, target, written=bool(args.write and text)))
    elif not args.write:
        sys.stdout.write(text)
    _say(proposed, target, written=args.write, as_json=args.json)
    return ExitCode.OK if proposed.roles else ExitCode.WARNING


def look() -> Seen:
    """Look at the host; only the listeners must be readable. Raises ObserveError."""
    from portguard.cli.sight import see  # noqa: PLC0415
    from portguard.core.manager import detect  # noqa: PLC0415
    from portguard.core.proposal import Seen  # noqa: PLC0415
    from portguard.kernel import administrator  # noqa: PLC0415
    from portguard.model.policy import Manager  # noqa: PLC0415

    snapshot, sensitive = see()
    return Seen(
        listeners=snapshot.listeners or (),
        links=snapshot.links,
        manager=detect(snapshot.ruleset) if snapshot.ruleset is not None else Manager.UNKNOWN,
        sensitive=sensitive,
        admin=administrator.connection(),
        gaps=snapshot.gaps,
    )


def _head() -> str:
    from portguard.kernel.real import SystemClock  # noqa: PLC0415

    when = SystemClock().now().isoformat(sep=" ", timespec="minutes")
    return f"Proposed by portguard {__version__} for {socket.gethostname()} on {when}."


def _say(proposed: Proposal, target: Path, *, written: bool, as_json: bool) -> None:
    """Tell on standard error what a pipe of the configuration must not hold: what to do next."""
    lines: list[str] = []
    if proposed.gaps and not as_json:
        lines += [f"not seen: {gap.scope}: {gap.reason}" for gap in proposed.gaps]
    if not proposed.roles:
        lines.append(
            "no role fits what listens here, so nothing is proposed" + (" or written" if written else "")
        )
        for row in proposed.others:
            missing = f"; not {', '.join(map(str, row.missing[:6]))}" if row.missing else ""
            lines.append(f"  {row.role.id}: {', '.join(map(str, row.listening[:6]))} listen{missing}")
        lines.append(
            "start the product first, or name its role: portguard catalogue list; sudo portguard init --role ROLE"
        )
    elif written:
        lines.append(f"written to {target}; next: define its zones, then portguard check")
    else:
        lines.append(f"nothing is written; sudo portguard init --write saves this as {target}")
    for line in lines:
        print(f"portguard: {line}", file=sys.stderr)  # noqa: T201 - the command line's own voice


def _json(proposed: Proposal, text: str, target: Path, *, written: bool) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "role": list(proposed.roles),
        "candidates": [_candidate(row) for row in (*proposed.chosen, *proposed.others)],
        "features": list(proposed.features),
        "shared_features": list(proposed.shared_features),
        "mode": "observe",
        "manager": proposed.manager.value,
        "zones": [
            {
                "name": need.name,
                "ports": list(need.ports),
                "flows": list(need.flows),
                "open_until_defined": need.open_until_defined,
                "suggested": [str(net) for net in need.suggested],
            }
            for need in proposed.zones
        ],
        "failsafe": [{"transport": "tcp", "port": port} for port in proposed.ssh_ports],
        "admin": str(proposed.admin) if proposed.admin else None,
        "extra": [
            {
                "transport": row.port.transport.value,
                "port": row.port.number,
                "addresses": list(row.addresses),
                "unit": row.unit,
                "process": row.process,
                "application": row.application,
            }
            for row in proposed.beside
        ],
        "gaps": [{"scope": gap.scope, "reason": gap.reason} for gap in proposed.gaps],
        "text": text,
        "path": str(target),
        "written": written,
    }


def _candidate(row: Candidate) -> dict[str, Any]:
    return {
        "role": row.role.id,
        "title": row.role.title,
        "fit": round(row.fit, 3),
        "listening": _ports(row.listening),
        "missing": _ports(row.missing),
        "names": list(row.names),
    }


def _ports(ports: Sequence[object]) -> list[str]:
    return [str(port) for port in ports]

"""``portguard why``: who can reach a port, which rule decides, and the smallest change that would flip it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.cli import output
from portguard.cli.explain import parse_port
from portguard.cli.paths import CONFIG
from portguard.errors import ConfigError, Fault, ObserveError, UsageError
from portguard.model.finding import ExitCode
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.core.answers import Answers
    from portguard.model.policy import Policy

_EPILOG = """\
examples:
  portguard why 6379                        who can reach it: each zone, and anyone else
  portguard why 8010 --from 10.1.2.3        the path of one client, chain by chain
  portguard why 9191/tcp --from workstations
  portguard why --batch < questions.json    a list of {"from", "to", "transport", "port"}: one reading of the ruleset

exit codes: 0 answered, 3 it cannot be known, 64 the question makes no sense, 78 the configuration is at fault
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "why",
        help="who can reach a port, and which rule decides",
        description="Follow new connections to a port through every table of the firewall. Writes nothing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "port", nargs="?", metavar="PORT[/tcp|udp]", help="a port, for example 8010 or 5353/udp"
    )
    parser.add_argument("--from", dest="source", metavar="ADDR|ZONE", help="an address, a network or a zone")
    parser.add_argument("--to", metavar="ADDR", help="an address of this host (default: the one on the way)")
    parser.add_argument("--batch", action="store_true", help="read questions from standard input, as JSON")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=CONFIG, help=f"configuration (default: {CONFIG})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, and say by the exit code whether it could be known."""
    if args.batch == (args.port is not None):
        raise UsageError("give a port, or --batch with questions on standard input")
    questions = _questions() if args.batch else [{"port": args.port, "from": args.source, "to": args.to}]
    # The questions are read before the host: a fault in them costs no look.
    read = [_read(question) for question in questions]
    answers = _look(_policy(args.config))
    documents = [answers.answer(*question) for question in read]
    if args.batch:
        output.print_json(documents)
    elif args.json:
        output.print_json(documents[0])
    else:
        from portguard.cli.why_view import show  # noqa: PLC0415 - rich, which JSON need not pay

        show(output.console(), documents[0])
    return ExitCode.UNKNOWN if any(_unknown(document) for document in documents) else ExitCode.OK


def _questions() -> list[Any]:
    try:
        questions = json.load(sys.stdin)
    except ValueError as error:
        raise UsageError(f"standard input is not JSON: {error}") from None
    if not isinstance(questions, list):
        raise UsageError("standard input is not a list of questions")
    return questions


def _read(question: Any) -> tuple[int, Transport | None, str | None, str | None]:
    """Read one question. Raises UsageError."""
    if not isinstance(question, dict) or "port" not in question:
        raise UsageError(f"{json.dumps(question)[:80]} is not a question: it wants at least a port")
    if odd := question.keys() - {"from", "to", "transport", "port"}:
        raise UsageError(f"{min(odd)!r} is no part of a question: they are from, to, transport and port")
    port, transport = parse_port(str(question["port"]))
    named = question.get("transport")
    if named is not None:
        if named not in {"tcp", "udp"}:
            raise UsageError(f"{named!r}: the transport is tcp or udp")
        transport = Transport(named)
    source, to = question.get("from"), question.get("to")
    for value in (source, to):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{value!r} is not an address")
    return port, transport, source, to


def _policy(config: Path) -> Policy | None:
    """Policy of the configuration; None where there is no configuration. Raises ConfigError for a faulty one."""
    try:
        config.stat()
    except FileNotFoundError:
        if config != CONFIG:
            raise UsageError(f"{config} does not exist") from None
        return None
    except OSError as error:
        # A configuration that cannot be seen is not one that does not exist: its zones would be missing.
        raise ConfigError([Fault(file=str(config), path="", message=error.strerror or str(error))]) from None
    from portguard.daemon.site import load_site  # noqa: PLC0415 - only where there is something to load

    return load_site(config).policy


def _look(policy: Policy | None) -> Answers:
    from portguard.cli.check import look  # noqa: PLC0415 - what --help need not pay
    from portguard.core.answers import Answers  # noqa: PLC0415

    try:
        snapshot, _ = look()
    except ObserveError as error:
        raise ObserveError(
            f"the firewall cannot be read{'' if os.geteuid() == 0 else ' without root'}: {error}"
        ) from error
    if snapshot.ruleset is None:
        reason = next(
            (gap.reason for gap in snapshot.gaps if gap.scope.startswith("ruleset")), "no reason is known"
        )
        raise ObserveError(f"the ruleset could not be read: {reason}")
    return Answers(snapshot, policy.zones, policy.inbound) if policy else Answers(snapshot, {})


def _unknown(document: Mapping[str, Any]) -> bool:
    paths = [row["path"] for row in document.get("paths", ())] or [document["path"]]
    return any(path["state"] == "unknown" for path in paths)

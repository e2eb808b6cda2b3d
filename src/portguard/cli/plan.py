"""``portguard plan``: the transaction that would be run now, as nft text, and which verdicts it would change."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.cli import output
from portguard.cli.check import look
from portguard.cli.paths import CONFIG
from portguard.errors import ObserveError
from portguard.model.finding import ExitCode
from portguard.model.policy import Mode

if TYPE_CHECKING:
    from portguard.model.judgement import Judgement

_EPILOG = """\
examples:
  portguard plan                    what heal would write now
  portguard plan --mode heal        the same while the configuration still says observe
  portguard plan --mode contain     what would be closed, and which alarms that would end
  portguard plan --json             the transaction as libnftables JSON, and the verdicts before and after

exit codes: 0 nothing to write, 1 something would be written, 3 unknown, 78 the configuration is at fault
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "plan",
        help="the transaction that would be run now, and which verdicts it would change",
        description="Show what the daemon would write now, and what that would change. Writes nothing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=CONFIG, help=f"configuration (default: {CONFIG})"
    )
    parser.add_argument(
        "--mode",
        choices=[Mode.OBSERVE.value, Mode.HEAL.value, Mode.CONTAIN.value],
        help="plan for this mode instead of the configured one",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plan, judge the plan, and print both."""
    from portguard.core.judge import judge  # noqa: PLC0415 - what --help need not pay
    from portguard.core.orders import missing_zones  # noqa: PLC0415
    from portguard.core.planning import plan  # noqa: PLC0415
    from portguard.daemon.site import load_site  # noqa: PLC0415

    policy = load_site(args.config).policy
    if args.mode is not None:
        policy = replace(policy, mode=Mode(args.mode))
    snapshot, sensitive = look()
    if snapshot.ruleset is None:
        reasons = "; ".join(gap.reason for gap in snapshot.gaps)
        raise ObserveError(f"nothing can be planned, because the ruleset could not be read: {reasons}")
    if policy.mode.closes and (faults := tuple(missing_zones(policy))):
        raise ObserveError(f"nothing can be closed: {'; '.join(faults)}")
    transaction, after = plan(policy, snapshot, sensitive)
    now = judge(policy, snapshot, sensitive)
    then = judge(policy, replace(snapshot, ruleset=after), sensitive)
    changed, ended = _changes(now, then), _ended(now, then)
    if args.json:
        output.print_json(
            {
                "schema": 1,
                "mode": policy.mode.value,
                "operations": [operation.json() for operation in transaction.operations],
                "text": str(transaction),
                "changes": changed,
                "ends": ended,
            }
        )
    else:
        out = output.console()
        out.print(str(transaction).rstrip() or "# nothing to write", markup=False, soft_wrap=True)
        for row in changed:
            out.print(
                f"# {row['flow']} {row['port']}/{row['transport']} from {row['zone']}: {row['before']} -> {row['after']}",
                markup=False,
                soft_wrap=True,
            )
        for text in ended:
            out.print(f"# ends: {text}", markup=False, soft_wrap=True)
    return ExitCode.WARNING if transaction else ExitCode.OK


def _changes(before: Judgement, after: Judgement) -> list[dict[str, Any]]:
    return [
        {
            "flow": old.service.flow,
            "transport": old.service.transport.value,
            "port": str(old.service.ports),
            "zone": old.service.zone,
            "before": old.path.value,
            "after": new.path.value,
        }
        for old, new in zip(before.services, after.services, strict=True)
        if old.path is not new.path
    ]


def _ended(before: Judgement, after: Judgement) -> list[str]:
    """Name the findings that the plan would end."""
    left = {finding.id for finding in after.findings}
    return [finding.message for finding in before.findings if finding.id not in left]

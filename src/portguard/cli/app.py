"""The command line: one module per command, loaded only when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from portguard import __version__
from portguard.errors import ConfigError, ObserveError, PortguardError, UsageError
from portguard.model.finding import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "status": "what the daemon knows now",
    "check": "one full judgement without a daemon, writing nothing",
    "init": "propose a configuration from what listens here",
    "plan": "the transaction that would be run now, and which verdicts it would change",
    "why": "who can reach a port, and which rule decides",
    "probe": "what a port of this host answers a stranger, by asking it",
    "explain": "which documented flows use a port, and which document says so",
    "catalogue": "products, components, roles and flows",
    "run": "the daemon, in the foreground",
    "reload": "let the daemon read its configuration again",
    "mode": "change what portguard may write",
    "confirm": "keep what mode contain has closed",
    "rollback": "back to the mode before, at once",
    "pause": "write nothing for a while",
    "resume": "end a pause",
    "clean": "take portguard's own rules out of the firewall",
    "lab": "a disposable network in which the real daemon guards a role",
}
"""Every command with its one line of help, in the order of ``--help``."""

_EPILOG = """\
examples:
  portguard status                  what is open, blocked or exposed, and what was healed
  portguard check --config FILE     judge this host once, as the configuration says
  portguard explain 8010            what a port is for, and which document says so

exit codes of every command that judges:
  0 ok   1 warning   2 critical   3 unknown (also: the daemon is not running)   64 usage   78 configuration
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints leave with the promised exit code."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Say what is wrong with the command line, and where help is."""
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser(chosen: str | None) -> argparse.ArgumentParser:
    """Build the parser; only the chosen command's module is imported, which keeps ``status`` quick."""
    top = _Parser(
        prog="portguard",
        description="Keeps the documented ports of a print-management server open to exactly whom the vendor says.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"portguard {__version__}")
    commands = top.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        parser_class=_Parser,
        prog="portguard",  # else argparse formats a whole help text to find the name, and loads shutil for that
    )
    for name, line in COMMANDS.items():
        if name == chosen:
            import_module(f"portguard.cli.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=line)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No traceback for anything that a user can do wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    args = parser(chosen).parse_args(arguments)
    try:
        return int(args.run(args))
    except ConfigError as error:
        for fault in error.faults:
            _complain(str(fault))
        return ExitCode.CONFIG
    except UsageError as error:
        _complain(str(error))
        return ExitCode.USAGE
    except ObserveError as error:
        # The kernel's own words say what was refused, and not what to do about it.
        text = str(error)
        if "not permitted" in text and "root" not in text and os.geteuid() != 0:
            text += "; become root"
        _complain(text)
        return ExitCode.UNKNOWN
    except PortguardError as error:
        _complain(str(error))
        return ExitCode.UNKNOWN
    except BrokenPipeError:
        # The reader of a pipe went away (`portguard status | head`): nothing is wrong, and nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        return 130


def _complain(text: str) -> None:
    print(f"portguard: {text}", file=sys.stderr)  # noqa: T201 - the command line's own voice

"""The command line of the benchmark: ``make bench``, or ``.venv/bin/python -m bench --only heal --quick``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import report
from bench.figures import parse
from bench.sandbox import run_inside, say, settle_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.figures import Figure

MEASUREMENTS = ("heal", "listeners", "listening", "judgement", "path", "memory", "idle", "status")
"""Modules of this package; each has a ``TITLE`` and ``measure(*, quick) -> list[Figure]``, and some ``prepare()`` outside."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements and print one table for each; 1 when one of them could not be made."""
    arguments = _parser().parse_args(argv)
    if arguments.inside:
        settle_in(arguments.outside)
        figures: list[Figure] = import_module(f"bench.{arguments.inside}").measure(quick=arguments.quick)
        json.dump([figure.as_json() for figure in figures], sys.stdout)
        return 0
    if os.geteuid() != 0:
        print("bench: needs root, for network namespaces of its own", file=sys.stderr)
        return 3
    began = time.monotonic()
    done: dict[str, list[dict[str, Any]]] = {}
    failed = []
    for name in arguments.only or MEASUREMENTS:
        module = import_module(f"bench.{name}")
        say(f"{name}: {module.TITLE}")
        if hasattr(module, "prepare"):
            module.prepare()
        try:
            done[name] = run_inside(name, ["--quick"] if arguments.quick else [])
        except RuntimeError as error:
            say(str(error))
            failed.append(name)
    for name, rows in done.items():
        report.show(import_module(f"bench.{name}").TITLE, [parse(row) for row in rows])
    machine = _machine()
    print(
        ", ".join(f"{key} {value}" for key, value in machine.items()), f"in {time.monotonic() - began:.0f} s"
    )
    if arguments.json is not None:
        document = {"schema": 1, "machine": machine, "quick": arguments.quick, "measurements": done}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure portguard, side by side with others."
    )
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, help="this measurement; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few repetitions: whether it runs, not how fast it is"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample there")
    parser.add_argument("--inside", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--outside", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def _machine() -> dict[str, str]:
    """Say what it was measured on; no names of hosts."""
    return {
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


if __name__ == "__main__":
    sys.exit(main())

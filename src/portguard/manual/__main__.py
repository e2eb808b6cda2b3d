"""``python -m portguard.manual DIRECTORY``: write everything that the package installs beside the program.

It is run where the sources are, by the build of the packages. With ``--docs`` it renews the table in ``docs/events.md`` instead;
``make docs`` runs that, and a test compares the two.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from portguard import __version__
from portguard.manual import commands, completion, events, settings

SHIPPED = Path("etc/portguard/portguard.toml")
DOCS = Path("docs/events.md")


def write(folder: Path, shipped: str, date: str) -> None:
    """Write the manual pages, the journal's catalogue and the completion."""
    pages = {
        "portguard.8": commands.page(date=date, version=__version__),
        "portguard.toml.5": settings.page(shipped, date=date, version=__version__),
        "portguard-events.7": events.page(date=date, version=__version__),
        "portguard.catalog": events.catalogue(),
        "portguard.bash": completion.script(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m portguard.manual", description="Write the manual.")
    parser.add_argument("folder", metavar="DIRECTORY", type=Path, nargs="?", default=Path("build/manual"))
    parser.add_argument("--docs", action="store_true", help="renew docs/events.md instead")
    arguments = parser.parse_args()
    if arguments.docs:
        DOCS.write_text(events.renewed(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
        return
    # Reproducible builds say when their source was made.
    made = float(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    date = datetime.fromtimestamp(made, UTC).date().isoformat()
    write(arguments.folder, SHIPPED.read_text(encoding="utf-8"), date)


if __name__ == "__main__":
    main()

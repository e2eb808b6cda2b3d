"""How ``portguard why`` prints an answer for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_STYLE = {"open": "green", "refused": "red", "dropped": "red", "unknown": "yellow"}


def show(console: Console, document: Mapping[str, Any]) -> None:
    """Print one answer: the listener, then the path of each set of sources, with the deciding rule and the fix."""
    listener = document["listener"]
    who = f" by {listener['unit']}" if listener["unit"] else ""
    said = {
        "listening": f"listening on {listener['address']}{who}",
        "loopback": f"listening on loopback only{who}",
        "absent": "nobody listens",
        "unknown": "who listens could not be read",
    }[listener["state"]]
    console.print(f"[bold]{document['port']}/{document['transport']}[/]: {escape(said)}")
    rows = document.get("paths", ())
    for row in rows:
        console.print()
        sources = ", ".join(row["sources"][:6]) + (" ..." if len(row["sources"]) > 6 else "")
        # Who is left beside the zones is a list of complements that tells nobody anything, unless it falls into parts.
        rest = row["zone"].startswith("anyone") and [other["zone"] for other in rows].count(row["zone"]) == 1
        _path(console, row["zone"] if rest else f"{row['zone']} ({sources})", row, trail=False)
    if "path" in document:
        console.print()
        _path(console, f"{document['from']} to {document['to']}", document, trail=True)


def _path(console: Console, who: str, row: Mapping[str, Any], *, trail: bool) -> None:
    path = row["path"]
    state = path["state"]
    console.print(f"[{_STYLE[state]}]{state:8}[/] {escape(who)}")
    if path["by"] is not None:
        console.print(f"         by {escape(_spelled(path['by']))}")
    if path["reason"] is not None:
        console.print(f"         because {escape(path['reason'])}", style="yellow")
    for step in path["trail"] if trail else ():
        console.print(f"         {escape(step['effect']):24} {escape(_spelled(step))}", style="dim")
    fix = row["fix"]
    if fix is None:
        return
    console.print(f"         smallest fix ({fix['owner']}): {escape(fix['command'])}")
    if fix["also_opens"]:
        console.print(
            f"         which would also open it to {escape(', '.join(fix['also_opens']))}", style="yellow"
        )
    if fix["then"] is not None:
        console.print(f"         and would not be enough: {escape(_spelled(fix['then']))}", style="yellow")


def _spelled(rule: Mapping[str, Any]) -> str:
    where = f"{rule['table']} {rule['chain']}"
    return (
        f"{where}: {rule['text']}"
        if rule["handle"] is None
        else f"{where} rule {rule['handle']}: {rule['text']}"
    )

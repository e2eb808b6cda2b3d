"""Print a status document (``status.json``, or what ``check`` found) the way a person likes to read it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from portguard.cli.show_order import order

if TYPE_CHECKING:
    from rich.console import Console

_COLOUR = {
    "ok": "green",
    "warning": "yellow",
    "critical": "red",
    "unknown": "magenta",
    "error": "red",
    "notice": "cyan",
}
_SIGN = {"ok": "✔", "warning": "!", "critical": "✘", "unknown": "?"}

Document = dict[str, Any]


def show(out: Console, document: Document, *, everything: bool = False) -> None:
    """Print verdict, services, findings, heals and gaps. Outgoing services only with ``everything``."""
    out.print(headline(document))
    if (ordered := order(document)) is not None:
        out.print(ordered)
    out.print(services(document, everything=everything))
    for part in (findings(document), heals(document), gaps(document)):
        if part is not None:
            out.print(part)
    rejected = document.get("daemon", {}).get("config_rejected", [])
    for fault in rejected:
        out.print(Text.assemble(("configuration rejected, the old one stays: ", "red"), fault))


def headline(document: Document) -> Text:
    """One or two lines: verdict, host, role, mode, manager, age, and how new listeners are noticed."""
    verdict = document["verdict"]
    text = Text()
    text.append(f"{_SIGN.get(verdict, '')} {verdict.upper()}", style=f"bold {_COLOUR.get(verdict, '')}")
    text.append(f"  {document['host']}  {', '.join(document['role'])}  mode {document['mode']}")
    text.append(f"  firewall {document['manager']}  {_age(document['time'])}", style="dim")
    if (events := document.get("daemon", {}).get("events")) is not None:
        text.append(f"  new listeners by {events}", style="dim")
    text.append(f"\n{document['summary']}")
    return text


def services(document: Document, *, everything: bool = False) -> Table:
    """Print one line per documented service."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("", "PORT", "FLOW", "FROM", "LISTENER", "PATH", "DECIDED BY"):
        table.add_column(
            title, no_wrap=title in ("", "PORT"), overflow="fold" if title == "DECIDED BY" else "ellipsis"
        )
    hidden = 0
    for row in document["services"]:
        if row["direction"] == "outbound" and not everything:
            hidden += 1
            continue
        verdict = row["verdict"]
        colour = _COLOUR.get(verdict, "")
        table.add_row(
            Text(_SIGN.get(verdict, ""), style=colour),
            _port(row),
            row["flow"],
            row["zone"],
            Text(_listener(row["listener"]), style="" if verdict == "ok" else colour),
            Text(row["path"]["state"] if row["direction"] == "inbound" else "outgoing", style=colour),
            Text(_decided(row["path"], brief=verdict == "ok"), style="dim" if verdict == "ok" else ""),
        )
    if hidden:
        table.caption = (
            f"{hidden} outgoing services are not shown (--all shows them; their paths are not evaluated)"
        )
        table.caption_justify = "left"
    return table


def findings(document: Document) -> Table | None:
    """Print what is wrong, worst first; None when nothing is."""
    if not document["findings"]:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left")
    for title in ("SEVERITY", "FINDING", "SINCE", "WHAT"):
        table.add_column(title, overflow="fold" if title == "WHAT" else "ellipsis", no_wrap=title != "WHAT")
    for row in document["findings"]:
        colour = _COLOUR.get(row["severity"], "")
        severity = row["severity"] + (" (unsteady)" if row["state"] == "flapping" else "")
        what = Text(row["message"])
        evidence = row["evidence"]
        for word, key in (("let in by: ", "by"), ("to close it: ", "fix")):
            if evidence.get(key):
                what.append(f"\n{word}{evidence[key]}", style="dim")
        table.add_row(Text(severity, style=colour), row["kind"], _age(row["since"]), what)
    return table


def heals(document: Document, *, last: int = 5) -> Table | None:
    """Print the last heals; None when there were none."""
    rows = document["heals"][-last:]
    if not rows:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("HEALED", "TOOK", "WHAT", "WHO"):
        table.add_column(title, no_wrap=title in ("HEALED", "TOOK"), overflow="fold")
    for row in reversed(rows):
        table.add_row(
            _age(row["time"]), f"{row['took_ms']:.1f} ms", Text(row["what"]), Text(actor(row["actor"]))
        )
    return table


def gaps(document: Document) -> Text | None:
    """Print what could not be read; None when all could."""
    if not document["gaps"]:
        return None
    lines = [f"not seen: {row['scope']}: {row['reason']}" for row in document["gaps"]]
    return Text("\n".join(lines), style="magenta")


def actor(row: Document | None) -> str:
    """Name who did it, as far as known."""
    if not row:
        return ""
    parts = [str(row["comm"] or "unknown process")]
    if row.get("parent"):
        parts.append(f"from {row['parent']}")
    if row.get("unit"):
        parts.append(str(row["unit"]))
    if row.get("loginuid") is not None:
        parts.append(f"login {row['login']}" if row.get("login") else f"login uid {row['loginuid']}")
    if row.get("remote"):
        parts.append(f"logged in from {row['remote']}")
    return ", ".join(parts)


def _port(row: Document) -> str:
    if not row["ports"]:
        return row["transport"] if row["transport"] == "icmp" else f"-/{row['transport']}"
    first, last = row["ports"]
    return f"{first if first == last else f'{first}-{last}'}/{row['transport']}"


def _listener(row: Document) -> str:
    who = row["unit"] or row["process"]
    if row["state"] in ("listening", "loopback"):
        state = row["address"] or row["state"]
        return f"{state} {who}" if who else str(state)
    return "" if row["state"] == "n/a" else str(row["state"])


def _decided(path: Document, *, brief: bool) -> str:
    if path.get("reason"):
        return str(path["reason"])
    by = path["by"]
    if by and brief:
        return f"{by['table']} {by['chain']}"
    return f"{by['table']} {by['chain']}: {by['text']}" if by else ""


def _age(time: str) -> str:
    """Spell how long ago something was."""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())
    if seconds < 90:
        return f"{seconds:.0f} s ago"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago" if seconds < 172800 else f"{seconds / 86400:.0f} days ago"

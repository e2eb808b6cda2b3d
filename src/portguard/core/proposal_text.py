"""Spell a proposal as a configuration file: valid as it stands, with everything that only a person knows commented out.

A line that begins with ``#`` and no blank after it is a setting that takes effect without the ``#``; prose has the blank.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from typing import TYPE_CHECKING

from portguard.core.proposal import ADMINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portguard.core.proposal import Beside, Proposal, ZoneNeed
    from portguard.core.roles import Candidate

_WIDTH = 118
_SEAL = "# portguard init, unchanged as long as this is its checksum: "
_EXAMPLE_NETWORK, _EXAMPLE_HOST = "192.0.2.0/24", "192.0.2.10"
"""Of the range that RFC 5737 keeps for documents: no real client has them."""

_MOST = 6
"""Ports and flows that are named before the others are only counted."""


def text(proposal: Proposal, *, head: str) -> str:
    """Spell the file; ``head`` says for which host, by which version and when. A proposal without a role has no text."""
    body = "\n".join(_lines(proposal, head)) + "\n"
    return f"{_SEAL}{_checksum(body)}\n{body}"


def unchanged(content: str) -> bool:
    """Say whether a file is as ``portguard init`` wrote it; the seal tells of edits, it does not prevent any."""
    first, _, body = content.partition("\n")
    return first == f"{_SEAL}{_checksum(body)}"


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def _lines(proposal: Proposal, head: str) -> Iterator[str]:
    yield from _prose(
        f"{head} It is a proposal from what listened at that moment, and a port number proves little: read it. A line that "
        'begins with "#" and a word is a setting: take the "#" away to use it. Everything is explained in portguard.toml(5).'
    )
    if proposal.gaps:
        yield "#"
        yield "# What could not be seen, and so is not in here:"
        for gap in proposal.gaps:
            yield from _prose(f"{gap.scope}: {gap.reason}", indent="  ")
    yield ""
    yield from _roles(proposal)
    yield ""
    yield "# observe writes nothing. When `portguard plan --mode heal` shows what you want: heal."
    yield 'mode = "observe"'
    yield ""
    yield from _prose(
        f'"auto" looks at the ruleset whose firewall decides here; just now that is {proposal.manager}.'
    )
    yield 'manager = "auto"'
    yield from _features(proposal)
    yield ""
    yield from _zones(proposal)
    yield ""
    yield from _failsafe(proposal)
    for row in proposal.beside:
        yield ""
        yield from _beside(row)


def _roles(proposal: Proposal) -> Iterator[str]:
    yield "# What this server is, and why."
    for row in proposal.chosen:
        yield from _evidence(row, proposal)
    yield f"role = {_list(proposal.roles)}"
    if proposal.others:
        yield "# What else it could be, the most likely first:"
    for row in proposal.others:
        yield f"#role = {_quoted(row.role.id)}"
        yield from _evidence(row, proposal)


def _evidence(row: Candidate, proposal: Proposal) -> Iterator[str]:
    yield from _prose(f"{row.role.id}: {printable(row.role.title)}", indent="  ")
    listening = [
        f"{port} {printable(proposal.holders[port])}" if port in proposal.holders else str(port)
        for port in row.listening
    ]
    yield from _prose(f"listening: {_some(listening)}", indent="    ")
    if row.missing:
        yield from _prose(f"required, and nobody listens: {_some(map(str, row.missing))}", indent="    ")
    if row.names:
        yield from _prose(f"the name: {_some(map(printable, row.names))}", indent="    ")


def _features(proposal: Proposal) -> Iterator[str]:
    if proposal.features or proposal.shared_features:
        yield ""
        yield "# Optional parts of the product whose ports listen; `portguard catalogue show ROLE` names all of them."
    if proposal.features:
        yield f"features = {_list(proposal.features)}"
    if proposal.shared_features:
        yield "# These share their ports, so that listeners do not tell which one is in use: keep what you have."
        yield f"#features = {_list((*proposal.features, *proposal.shared_features))}"


def _zones(proposal: Proposal) -> Iterator[str]:
    needs = [need for need in proposal.zones if not need.component]
    hosts = [need for need in proposal.zones if need.component]
    yield from _prose(
        "Who the documents' clients are on this network. Until a zone is defined, heal opens its ports to any address and "
        f"says so. {_EXAMPLE_NETWORK} is a placeholder; other networks are this server's own, and only a suggestion."
    )
    yield "[zones]"
    for need in needs:
        if need.name == ADMINS and proposal.admin is not None and not proposal.admin.is_link_local:
            yield from _need(need)
            yield f"# You are connected from {proposal.admin} just now."
            yield f"#{ADMINS} = {_list([str(proposal.admin)])}"
        else:
            yield from _need(need)
            yield f"#{need.name} = {_list([str(net) for net in need.suggested] or [_EXAMPLE_NETWORK])}"
    if hosts:
        yield ""
        yield from _prose(
            f"Other servers of the product; {_EXAMPLE_HOST} is a placeholder. An empty list says that there are none."
        )
        yield "[hosts]"
    for need in hosts:
        yield from _need(need)
        yield f"#{_quoted(need.name)} = {_list([_EXAMPLE_HOST])}"


def _need(need: ZoneNeed) -> Iterator[str]:
    ports = _some(need.ports) or "no port of this server"
    closed = "" if need.open_until_defined else "; nobody is let in until it is defined"
    yield from _prose(f"{need.name}: reaches {ports} ({_some(need.flows)}){closed}")


def _failsafe(proposal: Proposal) -> Iterator[str]:
    yield "# What is never closed, whatever else is configured: the way back in."
    yield "[failsafe]"
    if not proposal.ssh_ports:
        yield "# No SSH server was seen. Give the port by which you administer this server."
    ports = proposal.ssh_ports or (22,)
    rows = ", ".join(f'{{ transport = "tcp", port = {port}, from = "{ADMINS}" }}' for port in ports)
    yield f"{'' if proposal.ssh_ports else '#'}inbound = [{rows}]"


def _beside(row: Beside) -> Iterator[str]:
    who = printable(row.process or row.unit or "an unknown process")
    where = f"{row.port} on {_some(row.addresses)}"
    if row.application is not None:
        yield from _prose(
            f"{where}: {who} speaks {row.application}, which nobody documents here. It must be bound to loopback, or closed, "
            "rather than listed."
        )
        return
    yield from _prose(f"{where}: {who}, not documented for this role. List it if it belongs here:")
    yield "#[[extra]]"
    yield f"#transport = {_quoted(row.port.transport)}"
    yield f"#port = {row.port.number}"
    yield f'#from = "{ADMINS}"'
    if row.unit is not None:
        yield f"#unit = {_quoted(printable(row.unit))}"
    yield f"#reason = {_quoted(f'say why: {who} was listening')}"


def _prose(words: str, *, indent: str = "") -> list[str]:
    return textwrap.wrap(
        printable(words, longest=4000),
        _WIDTH,
        initial_indent=f"# {indent}",
        subsequent_indent=f"# {indent}  " if indent else "# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _some(words: Iterable[str]) -> str:
    names = list(words)
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def _list(words: Iterable[str]) -> str:
    return f"[{', '.join(_quoted(word) for word in words)}]"


def _quoted(word: str) -> str:
    """Spell a TOML string; what JSON leaves as it is and TOML forbids is not printable."""
    return json.dumps(str(printable(word)), ensure_ascii=False)


def printable(word: str, *, longest: int = 120) -> str:
    """Make a name from outside fit for one line of a file: nothing that breaks lines, half characters, or hides."""
    return "".join(char if char.isprintable() else "?" for char in str(word))[:longest]

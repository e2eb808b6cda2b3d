"""``portguard probe``: what a port of this host answers a stranger, by asking it."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portguard.cli import output
from portguard.cli.paths import CONFIG
from portguard.errors import UsageError
from portguard.model.exposure import Application, Protection
from portguard.model.finding import ExitCode, Verdict
from portguard.model.net import PortRange, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from portguard.exposure.probe import Answer
    from portguard.model.exposure import Exposure
    from portguard.model.listener import Listener
    from portguard.model.net import IPAddress
    from portguard.model.policy import Service
    from portguard.model.snapshot import Snapshot

SCHEMA = 1
_LONGEST = 60.0

_EPILOG = """\
examples:
  sudo portguard probe                 every listener that looks like Redis or JMX
  sudo portguard probe 6390 9010       these ports, whatever listens there
  sudo portguard probe --jdwp 5005     a Java debugger too: it serves nobody else for that moment

It connects to this host's own addresses only, and sends no more than the greetings of Redis (PING), RMI with the list of its
registry, TLS, and with --jdwp of a debugger. Never give it a raw printing port such as 9100: a printer prints what it is sent.
The connection does not pass the firewall as a stranger's would; portguard why PORT tells who gets that far.

exit codes: 0 nothing answers strangers, 1 something might, 2 something answers without a password on an address of the network,
3 unknown, 64 usage
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One address and port to ask, and what is known of it without asking."""

    address: IPAddress
    port: int
    listener: Listener | None
    exposure: Exposure | None
    flows: tuple[str, ...] = ()
    """Documented flows of this host's role on that port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one target answered, and what that means."""

    target: Target
    answer: Answer
    verdict: Verdict


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "probe",
        help="what a port of this host answers a stranger, by asking it",
        description="Ask ports of this host what they answer a stranger. Nothing is asked unless you run this command.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "port", metavar="PORT", nargs="*", help="TCP ports; without, what looks like Redis or JMX"
    )
    parser.add_argument("--address", metavar="ADDR", help="ask on this address of this host only")
    parser.add_argument("--jdwp", action="store_true", help="ask Java debuggers too")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=1.0, help="seconds to wait for an answer (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=CONFIG,
        help=f"configuration, which tells what is documented here (default: {CONFIG}, if it is there)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Choose what to ask, ask, print, and tell the worst by the exit code."""
    from portguard.cli.sight import see  # noqa: PLC0415 - what --help need not pay

    if not 0.0 < args.timeout <= _LONGEST:
        raise UsageError(f"--timeout lies between 0 and {_LONGEST:g} seconds")
    ports = tuple(dict.fromkeys(_port(word) for word in args.port))
    only = _address(args.address)
    snapshot, sensitive = see()
    own = own_addresses(snapshot)
    if only is not None and only not in own:
        raise UsageError(f"{only} is no address of this host: portguard asks nobody else")
    services = _services(args.config)
    targets = [
        replace(
            target,
            flows=tuple(
                dict.fromkeys(row.flow for row in services if row.ports and target.port in row.ports)
            ),
        )
        for target in choose(snapshot, sensitive, ports, own, only)
    ]
    results = [ask(target, jdwp=args.jdwp, patience=args.timeout) for target in targets]
    if args.json:
        output.print_json({"schema": SCHEMA, "results": [_json(row) for row in results]})
    else:
        _show(results, snapshot)
    return _code(results)


def _services(config: Path) -> tuple[Service, ...]:
    """Read which single TCP ports are documented for this host; nothing where there is no configuration yet.

    Raises ConfigError for one that is at fault, and UsageError for one that was named and is not there.
    """
    from portguard.daemon.site import load_site  # noqa: PLC0415

    if not config.exists():
        if config != CONFIG:
            raise UsageError(f"{config} does not exist")
        return ()
    inbound = load_site(config).policy.inbound
    return tuple(row for row in inbound if row.transport is Transport.TCP and not row.dynamic)


def own_addresses(snapshot: Snapshot) -> tuple[IPAddress, ...]:
    """Addresses of this host, those of its networks before loopback; link-local ones would need an interface."""
    interfaces = snapshot.links.interfaces if snapshot.links is not None else ()
    found = [address for interface in interfaces if interface.up for address, _ in interface.addresses]
    usable = [address for address in dict.fromkeys(found) if address.is_loopback or not address.is_link_local]
    return tuple(sorted(usable, key=lambda address: address.is_loopback))


def choose(
    snapshot: Snapshot,
    sensitive: Mapping[int, Exposure],
    ports: Sequence[int],
    own: Sequence[IPAddress],
    only: IPAddress | None,
) -> Iterator[Target]:
    """Choose addresses: one of the network for a listener on all of them, else the one that it is bound to.

    Without ports, every listener beyond loopback that something suspicious is known of: others are not asked, because nobody
    knows what a service does with bytes that it does not expect.
    """
    listeners = [row for row in snapshot.listeners or () if row.transport is Transport.TCP]
    if not ports:
        listeners = [row for row in listeners if row.cookie in sensitive and not row.loopback]
    seen: set[tuple[IPAddress, int]] = set()
    for port in ports or sorted({row.port for row in listeners}):
        rows = [row for row in listeners if row.port == port]
        for row in rows:
            for address in _addresses(row, own):
                if (only is None or address == only) and (address, port) not in seen:
                    seen.add((address, port))
                    yield Target(address=address, port=port, listener=row, exposure=sensitive.get(row.cookie))
        if not rows and own:
            yield Target(address=only or own[0], port=port, listener=None, exposure=None)


def _addresses(row: Listener, own: Sequence[IPAddress]) -> Iterator[IPAddress]:
    if not row.wildcard:
        mapped = getattr(row.address, "ipv4_mapped", None)
        address = mapped or row.address
        if address in own:
            yield address
        return
    firsts = [
        next((address for address in own if address.version == version), None) for version in row.versions
    ]
    found = [address for address in firsts if address is not None]
    # Loopback hides what others see; it is asked only where the host has no other address at all.
    yield from [address for address in found if not address.is_loopback] or found[:1]


def ask(target: Target, *, jdwp: bool, patience: float) -> Result:
    """Ask one target, unless what is known already makes it pointless."""
    from portguard.exposure.probe import Answer, probe  # noqa: PLC0415

    known = target.exposure
    if target.listener is None:
        said = "nobody listens"
        answer = Answer(application=None, protection=Protection.UNKNOWN, said=said, sent=(), answered=False)
    elif known is not None and known.application is Application.JMX_LOCAL:
        # It takes every address of this host for its own, so that asking from here would show what no stranger sees.
        said = "not asked: the agent's connector for this host, which refuses strangers"
        answer = Answer(
            application=known.application.value, protection=Protection.REFUSES_STRANGERS, said=said, sent=()
        )
    else:
        suspected = (
            known.application if known is not None and known.application is not Application.JVM else None
        )
        answer = probe(target.address, target.port, suspected=suspected, jdwp=jdwp, patience=patience)
    return Result(target=target, answer=answer, verdict=judge(target, answer))


def judge(target: Target, answer: Answer) -> Verdict:
    """Say what an answer means. Who a JMX agent lets in is not asked, it is known from the process or not at all."""
    if not answer.answered:
        return Verdict.UNKNOWN
    if target.address.is_loopback:
        return Verdict.OK
    protection = answer.protection
    if answer.application == "jmx":
        protection = target.exposure.protection if target.exposure is not None else Protection.UNKNOWN
        if protection is Protection.UNKNOWN:
            return Verdict.UNKNOWN
    elif answer.application == "rmi":
        return Verdict.WARNING
    elif answer.application not in ("redis", "jdwp", "jmx-local"):
        return Verdict.OK
    if protection in (Protection.NONE, Protection.TLS):
        return Verdict.CRITICAL
    return Verdict.WARNING if protection in (Protection.PASSWORD, Protection.UNKNOWN) else Verdict.OK


def _code(results: Iterable[Result]) -> ExitCode:
    """The worst of all; what is certain and bad comes before what is not known."""
    verdicts = {row.verdict for row in results}
    for verdict in (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING):
        if verdict in verdicts:
            return ExitCode.of(verdict)
    return ExitCode.OK


def _port(word: str) -> int:
    try:
        ports = PortRange.parse(word.removesuffix("/tcp"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if len(ports) != 1:
        raise UsageError(f"{word} is a range; give single ports")
    return ports.first


def _address(word: str | None) -> IPAddress | None:
    try:
        return None if word is None else ipaddress.ip_address(word)
    except ValueError:
        raise UsageError(f"{word!r} is not an address") from None


def _json(row: Result) -> dict[str, Any]:
    listener, exposure = row.target.listener, row.target.exposure
    return {
        "address": str(row.target.address),
        "port": row.target.port,
        "process": listener.owner.process if listener is not None else None,
        "unit": listener.owner.unit if listener is not None else None,
        "application": row.answer.application,
        "protection": row.answer.protection.value,
        "known": None
        if exposure is None
        else {"application": exposure.application.value, "protection": exposure.protection.value},
        "flows": list(row.target.flows),
        "said": row.answer.said,
        "sent": list(row.answer.sent),
        "verdict": row.verdict.value,
    }


def _show(results: Sequence[Result], snapshot: Snapshot) -> None:
    from portguard.cli.probe_view import table  # noqa: PLC0415

    if results:
        output.console().print(table(results))
    else:
        sys.stdout.write("nothing that looks like Redis or JMX listens beyond loopback\n")
    for gap in snapshot.gaps:
        print(f"portguard: not seen: {gap.scope}: {gap.reason}", file=sys.stderr)  # noqa: T201 - the command line's own voice

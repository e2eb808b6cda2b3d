"""What the steps of the scenario act on: the server under guard and the clients around it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portguard.lab.prober import OPEN
from portguard.lab.results import Sweep
from portguard.lab.topology import SERVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portguard.lab.children import Child, Helper
    from portguard.lab.guard import Guard
    from portguard.lab.listeners import Spec
    from portguard.lab.network import Network
    from portguard.lab.ports import Probe
    from portguard.lab.rundir import RunDir
    from portguard.lab.topology import Topology
    from portguard.model.policy import Policy

WITHIN = 0.3
"""Seconds without an answer after which a connection counts as dropped."""
PATIENCE = 3.0
"""Seconds for which a connection that must be open is tried again: a busy machine is no closed port."""
WATCH_EVERY = 0.002
"""Seconds between the connections of a watch."""

NFT = "nft"
"""Name of the program with which the lab itself changes the ruleset: every other writer there is the daemon."""

TABLE = "inet portguard"
CHAIN = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One nftables transaction in the server's namespace, as the kernel announced it."""

    at: float
    pid: int
    comm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The lab while it is up."""

    run: RunDir
    network: Network
    topology: Topology
    policy: Policy
    guard: Guard
    listeners: Helper
    standing: tuple[Spec, ...]
    """Listeners that stand on the documented ports."""
    probers: dict[str, Helper]
    documented: tuple[Probe, ...]
    """Every documented connection from outside."""
    site: str
    """The site's own ruleset, as nft text; empty where it has none."""
    commits: list[Commit] = field(default_factory=list)
    """Grows from another thread."""
    guests: list[Child] = field(default_factory=list)
    """Processes that a step started in the server's namespace."""

    # --- the server ------------------------------------------------------------------------------------------------

    def server(self, *argv: str, text: str | None = None) -> str:
        """Run a command on the server and return what it printed. Raises LabError when it fails."""
        return self.network.run(SERVER.name, argv, text=text)

    def own_rules(self) -> list[dict[str, Any]]:
        """List the rules of portguard's chain, as libnftables spells them."""
        rows = json.loads(self.server("nft", "-j", "list", "chain", *TABLE.split(), CHAIN))["nftables"]
        return [row["rule"] for row in rows if "rule" in row]

    def own_table(self) -> list[str]:
        """List portguard's table as text, without counters, sorted: rules that all accept may stand in any order."""
        return sorted(self.server("nft", "-s", "list", "table", *TABLE.split()).splitlines())

    def own_commit_after(self, moment: float) -> float | None:
        """Find the daemon's first commit after a moment; seconds of the monotonic clock."""
        return next((row.at for row in list(self.commits) if row.at > moment and row.comm != NFT), None)

    def foreign_commit_after(self, moment: float) -> float | None:
        """Find the first commit of anybody else after a moment."""
        return next((row.at for row in list(self.commits) if row.at > moment and row.comm == NFT), None)

    # --- the clients -----------------------------------------------------------------------------------------------

    def probe(self, probes: Sequence[Probe]) -> list[str]:
        """Try connections, all clients at once, and return their outcomes in order."""
        outcomes = [""] * len(probes)
        asked = []
        for client, numbers in _by_client(probes).items():
            targets = [_target(probes[number]) for number in numbers]
            prober = self.probers[client]
            asked.append((prober, prober.post("probe", targets=targets, timeout=WITHIN), numbers))
        for prober, request, numbers in asked:
            for number, result in zip(numbers, prober.reply(request)["results"], strict=True):
                outcomes[number] = result["outcome"]
        return outcomes

    def until(self, probes: Sequence[Probe], wanted: Sequence[str | None]) -> list[str]:
        """Try connections again and again until each has the wanted outcome (None: any) or patience ends."""
        deadline = time.monotonic() + PATIENCE
        while True:
            outcomes = self.probe(probes)
            met = all(want in (None, got) for want, got in zip(wanted, outcomes, strict=True))
            if met or time.monotonic() > deadline:
                return outcomes
            time.sleep(0.05)

    def sweep(self) -> Sweep:
        """Try every documented connection."""
        outcomes = self.until(self.documented, [OPEN] * len(self.documented))
        shut = tuple(
            f"{probe}: {outcome}"
            for probe, outcome in zip(self.documented, outcomes, strict=True)
            if outcome != OPEN
        )
        return Sweep(tried=len(outcomes), shut=shut)

    def watch(self, probe: Probe) -> None:
        """Begin to connect every two milliseconds."""
        self.probers[probe.source.client].ask(
            "watch", target=_target(probe), every=WATCH_EVERY, timeout=WITHIN
        )

    def unwatch(self, probe: Probe) -> list[tuple[float, str]]:
        """End a watch; returns when each connection began (monotonic seconds) and what became of it."""
        attempts = self.probers[probe.source.client].ask("unwatch")["attempts"]
        return [(begun, outcome) for begun, outcome, _ in attempts]

    def talk(self, probe: Probe, question: bytes) -> bytes:
        """Connect, send something, and return the first bytes that come back; empty when nothing does."""
        target = _target(probe)
        reply = self.probers[probe.source.client].ask("talk", send=question.hex(), timeout=1.0, **target)
        return bytes.fromhex(reply["reply"])


def _target(probe: Probe) -> dict[str, Any]:
    return {
        "transport": probe.transport,
        "from": probe.source.address(probe.version),
        "to": str((SERVER.v4 if probe.version == 4 else SERVER.v6).ip),
        "port": probe.port,
    }


def _by_client(probes: Iterable[Probe]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, probe in enumerate(probes):
        groups[probe.source.client].append(number)
    return groups

"""Steps 1 to 5: somebody changes the ruleset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from portguard.errors import LabError
from portguard.lab import firewall
from portguard.lab.ports import Probe
from portguard.lab.prober import DROPPED, OPEN
from portguard.lab.stage import CHAIN, TABLE
from portguard.lab.step import Expectation, Step
from portguard.model.finding import Kind

if TYPE_CHECKING:
    from portguard.lab.stage import Stage

_MARK = "portguard:"


def guarded(stage: Stage) -> list[tuple[Probe, dict[str, Any]]]:
    """List TCP connections with the rule of portguard's table that admits each, one per rule comment."""
    rules: dict[str, dict[str, Any]] = {}
    for rule in stage.own_rules():
        rules.setdefault(rule.get("comment", ""), rule)
    found: dict[str, tuple[Probe, dict[str, Any]]] = {}
    for probe in stage.documented:
        comment = f"{_MARK}{probe.flow}"
        if probe.transport == "tcp" and probe.version == 4 and comment in rules:
            found.setdefault(probe.flow, (probe, rules[comment]))
    if not found:
        raise LabError(
            f"no rule of table {TABLE} admits a documented TCP connection: the lab has nothing to strike"
        )
    # The fail-safe port comes last: it is no flow of the product.
    return sorted(found.values(), key=lambda row: row[0].flow.startswith("failsafe/"))


def nth(stage: Stage, number: int) -> tuple[Probe, dict[str, Any]]:
    """Pick a rule; different numbers give different rules where the role has enough.

    A rule that is struck again and again would run into the daemon's limit of heals, as it should.
    """
    rows = guarded(stage)
    return rows[number % len(rows)]


def _stays_open(probe: Probe) -> list[Expectation]:
    # portguard's chain accepts by policy: without its rules nothing is shut, unless another firewall shuts it.
    return [Expectation(probe=probe, before=OPEN, struck=None, after=OPEN)]


class RuleDeleted(Step):
    """One rule of the own table is deleted by hand."""

    name: ClassVar = "rule-deleted"
    title: ClassVar = "One rule of table inet portguard is deleted"
    kinds: ClassVar = (Kind.RULE_REMOVED, Kind.RULE_HEALED)
    same_table: ClassVar = True

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Watch the port whose rule goes."""
        return _stays_open(nth(stage, 0)[0])

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Delete the rule by its handle."""
        command = ["nft", "delete", "rule", *TABLE.split(), CHAIN, "handle", str(nth(stage, 0)[1]["handle"])]
        stage.server(*command)
        return (" ".join(command),)


class TableDeleted(Step):
    """The whole own table is deleted."""

    name: ClassVar = "table-deleted"
    title: ClassVar = "Table inet portguard is deleted"
    kinds: ClassVar = (Kind.RULE_REMOVED, Kind.RULE_HEALED)
    same_table: ClassVar = True

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Watch any documented port."""
        return _stays_open(nth(stage, 0)[0])

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Delete the table."""
        command = ["nft", "delete", "table", *TABLE.split()]
        stage.server(*command)
        return (" ".join(command),)


class RulesetFlushed(Step):
    """Everything goes, the site's own rules too: those portguard cannot know, and it says what they protected."""

    name: ClassVar = "ruleset-flushed"
    title: ClassVar = "nft flush ruleset"
    kinds: ClassVar = (Kind.RULE_REMOVED, Kind.RULE_HEALED)
    same_table: ClassVar = True

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Watch any documented port."""
        return _stays_open(nth(stage, 0)[0])

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Flush."""
        stage.server("nft", "flush", "ruleset")
        return ("nft flush ruleset",)

    def extra_kinds(self, stage: Stage) -> tuple[Kind, ...]:
        """Expect an alarm for what the site's rules kept shut, where it had any."""
        return (Kind.SERVICE_EXPOSED,) if stage.site else ()

    def undo(self, stage: Stage) -> None:
        """Load the site's own rules again."""
        if stage.site:
            stage.server("nft", "-f", "-", text=stage.site)


class RuleReplaced(Step):
    """The comment stays, the verdict turns: whoever looks at comments only is fooled."""

    name: ClassVar = "rule-replaced"
    title: ClassVar = "A rule is replaced by a drop under the same comment"
    kinds: ClassVar = (Kind.RULE_ALTERED, Kind.RULE_HEALED)
    same_table: ClassVar = True

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Watch the port whose rule turns."""
        return _stays_open(nth(stage, 1)[0])

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Replace the rule in place."""
        probe, rule = nth(stage, 1)
        text = (
            f"replace rule {TABLE} {CHAIN} handle {rule['handle']} "
            f'{probe.transport} dport {probe.port} counter drop comment "{rule["comment"]}"'
        )
        stage.server("nft", "-f", "-", text=f"{text}\n")
        return (f"nft {text}",)


class ForeignDrop(Step):
    """Another table drops: an accept in portguard's own cannot help, so the heal has to go into that chain."""

    name: ClassVar = "foreign-drop"
    title: ClassVar = f"Another table appears, inet {firewall.INTRUDER}, with policy drop"
    kinds: ClassVar = (Kind.RULE_HEALED,)

    def expectations(self, stage: Stage) -> list[Expectation]:
        """Expect the documented ports to open again, and a stranger to stay out.

        That the blow struck is proven by the watched connection alone: the heal may overtake the others' first try.
        """
        probes = [probe for probe in _one_per_client(stage) if probe.source != stage.topology.stranger]
        rows = [
            Expectation(probe=probe, before=OPEN, struck=None if number else DROPPED, after=OPEN)
            for number, probe in enumerate(probes)
        ]
        rows += [
            Expectation(probe=_from_stranger(stage, probe), before=OPEN, struck=None, after=DROPPED)
            for probe in probes[:1]
        ]
        return rows

    def blow(self, stage: Stage) -> tuple[str, ...]:
        """Load the table."""
        text = firewall.intruder()
        stage.server("nft", "-f", "-", text=text)
        return (f"nft -f - <<< '{' '.join(text.split())}'",)

    def undo(self, stage: Stage) -> None:
        """Delete the table."""
        stage.server("nft", "delete", "table", "inet", firewall.INTRUDER)


def _one_per_client(stage: Stage) -> list[Probe]:
    """Pick a TCP connection of each client, over both IP versions."""
    found: dict[tuple[str, int], Probe] = {}
    for probe in stage.documented:
        if probe.transport == "tcp":
            found.setdefault((probe.source.client, probe.version), probe)
    return sorted(found.values(), key=lambda probe: (probe.version, probe.source.client != "workstation"))


def _from_stranger(stage: Stage, probe: Probe) -> Probe:
    return Probe(
        source=stage.topology.stranger,
        zone="stranger",
        flow=probe.flow,
        transport=probe.transport,
        port=probe.port,
        version=probe.version,
    )

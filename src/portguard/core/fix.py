"""The smallest fix: the one change that would let sources through, in the language of whoever owns the deciding rule.

The change is tried out on a copy of the ruleset before it is named: what it would open beyond the question is said with
it, and so is a rule further on that would still stop the packets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from portguard.core.owner import Owner, owner_of
from portguard.core.path import evaluate
from portguard.core.reach import FROM_NETWORK
from portguard.core.remedy import remedy
from portguard.model.net import EVERYTHING, AddressSet
from portguard.model.path import Outcome, PathClass
from portguard.model.ruleset import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portguard.model.net import IPNetwork
    from portguard.model.path import Branch
    from portguard.model.ruleset import Json, RuleRef, Ruleset
    from portguard.model.snapshot import Links


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change, and what it would do."""

    owner: Owner
    command: str
    """In the owner's language; for people, not for running unread."""
    then: RuleRef | None
    """What would still stop the packets after it; None: they get through."""
    also_opens: tuple[str, ...]
    """Sources beside those asked about that it would let in."""


def smallest_fix(ruleset: Ruleset, ask: PathClass, branch: Branch, links: Links | None = None) -> Fix | None:
    """Name the change for a branch that is shut; None when it is not, or when it is not known what decides."""
    if branch.outcome not in {Outcome.DROPPED, Outcome.REFUSED} or branch.by is None:
        return None
    # Whom the question is about is mostly said in fewer words than who of them ended up here.
    sources = min(ask.sources, branch.sources, key=lambda some: sum(1 for _ in some.networks()))
    first: Fix | None = None
    for head in (False, True) if branch.by.handle is None else (False,):
        # A rule at the end of a chain comes too late where a limit rejects before it; then it goes to the head.
        wanted = branch.sources if head else sources
        changed = _with_accept(ruleset, ask, branch, wanted, head=head)
        if changed is None:
            return None
        found = _judged(ruleset, changed, ask, branch, wanted, links, head=head)
        if found.then is None:
            return found
        first = first or found
    return first


def _judged(  # noqa: PLR0917 - a change, and what it is an answer to
    ruleset: Ruleset,
    changed: Ruleset,
    ask: PathClass,
    branch: Branch,
    sources: AddressSet,
    links: Links | None,
    *,
    head: bool,
) -> Fix:
    """Say what a change would do."""
    by = branch.by
    assert by is not None, "a branch that is shut has something that shuts it"
    owner = owner_of(ruleset, by)
    before = evaluate(ruleset, replace(ask, sources=EVERYTHING), links)
    after = evaluate(changed, replace(ask, sources=EVERYTHING), links)
    opened = after.having(Outcome.OPEN) - before.having(Outcome.OPEN) - ask.sources
    rest = [left for left in after.within(branch.sources).branches if left.outcome is not Outcome.OPEN]
    shut = [left for left in rest if left.outcome is not Outcome.UNKNOWN]
    return Fix(
        owner=owner,
        command=remedy(
            owner,
            by,
            ask.transport,
            str(ask.port),
            _networks(sources),
            head=head,
            translated=_is_translated(branch),
        ),
        then=(shut or rest)[0].by if rest else None,
        also_opens=tuple(str(network) for network in opened.networks()),
    )


def _is_translated(branch: Branch) -> bool:
    """Whether the packets read another port by the time they are shut out."""
    return any(step.effect.startswith("translated") for step in branch.trail)


def _with_accept(
    ruleset: Ruleset, ask: PathClass, branch: Branch, sources: AddressSet, *, head: bool
) -> Ruleset | None:
    """Copy the ruleset with rules that accept the packets: before the deciding rule, or at an end of the chain."""
    by = branch.by
    table = None if by is None else ruleset.tables.get(by.table)
    if by is None or table is None or by.chain not in table.chains:
        return None
    rules = list(table.rules_of(by.chain))
    place = 0 if head else len(rules)
    if by.handle is not None:
        places = [index for index, rule in enumerate(rules) if rule.handle == by.handle]
        if not places:
            return None
        place = places[0]
    added = [
        Rule(
            chain=by.chain,
            handle=0,
            expr=tuple(_match(ask, family, networks, translated=_is_translated(branch))),
        )
        for family, networks in (("ip", sources.v4), ("ip6", sources.v6))
        if networks and by.table.family in {family, "inet", "netdev"}
    ]
    rules[place:place] = added
    return replace(
        ruleset,
        tables={**ruleset.tables, by.table: replace(table, rules={**table.rules, by.chain: tuple(rules)})},
    )


def _match(
    ask: PathClass, family: str, networks: Sequence[tuple[int, int]], *, translated: bool
) -> list[Json]:
    version = AddressSet(tuple(networks)) if family == "ip" else AddressSet((), tuple(networks))
    members = [
        {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
        for network in version.networks()
    ]
    out: list[Json] = [
        {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": family, "field": "saddr"}},
                "right": {"set": members},
            }
        }
    ]
    if ask.port is not None and translated:
        protocol = {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": ask.transport.value}
        original = {"ct": {"key": "proto-dst", "dir": "original"}}
        out += [{"match": protocol}, {"match": {"op": "==", "left": original, "right": ask.port}}]
    elif ask.port is not None:
        left = {"payload": {"protocol": ask.transport.value, "field": "dport"}}
        out.append({"match": {"op": "==", "left": left, "right": ask.port}})
    return [*out, {"accept": None}]


def _networks(sources: AddressSet) -> list[IPNetwork] | None:
    """Networks to spell; None for everyone, where a host without IPv6 is asked about for IPv4 alone."""
    rest = FROM_NETWORK - sources
    everyone = not (rest.v4 and (sources.v4 or not sources.v6)) and not (
        rest.v6 and (sources.v6 or not sources.v4)
    )
    return None if everyone else list(sources.networks())

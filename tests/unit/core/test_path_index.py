"""What is found by index, taken over from the ruleset before, or known from another port is what a full walk finds."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from path_questions import LINKS, asked
from portguard.core import path
from portguard.core.path import evaluate, settle
from portguard.core.path.chains import Concern
from portguard.core.path.footprint import Footprint
from portguard.core.path.report import report
from portguard.core.path.world import World
from portguard.model.net import EVERYTHING, AddressSet
from portguard.model.ruleset import Chain, Rule, Ruleset, Set, Table, TableKey

if TYPE_CHECKING:
    import pytest

    from portguard.core.path.footprint import Step
    from portguard.core.path.tables import CompiledTable
    from portguard.core.path.walk import Fate
    from portguard.model.path import Branch, PathClass, PathReport
    from portguard.model.snapshot import Links

KEY = TableKey("inet", "f")
PORTS = (22, 80, 81, 443, 8080)
HOST = AddressSet.of("10.1.0.1", "fd01::1")


def equal(left: Any, right: Any, op: str = "==") -> Any:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> Any:
    return {"payload": {"protocol": protocol, "field": field}}


def listed(*members: Any) -> Any:
    return {"set": list(members)}


def vague(match: Any) -> bool:
    """Tests that may match come last: what fails a test behind them goes on as doubtful, and an index passes it over."""
    return "limit" in match or match["match"]["left"] == payload("th", "dport")


pick = st.sampled_from
SOURCE, SOURCE6, PORT = payload("ip", "saddr"), payload("ip6", "saddr"), payload("tcp", "dport")
NAME, MARK = {"meta": {"key": "iifname"}}, {"meta": {"key": "mark"}}
networks = pick(
    ["10.1.2.3", {"prefix": {"addr": "10.9.0.0", "len": 16}}, {"range": ["10.1.0.0", "10.1.2.3"]}]
)
numbers = pick([80, 81, 443, {"range": [80, 443]}, listed(22, 8080), listed(22, {"range": [81, 90]})])
matches = st.one_of(
    networks.map(lambda value: equal(SOURCE, value)),
    networks.map(lambda value: equal(SOURCE, value, "!=")),
    pick(["fd01::7", {"prefix": {"addr": "fd00::", "len": 8}}]).map(lambda value: equal(SOURCE6, value)),
    numbers.map(lambda value: equal(PORT, value)),
    numbers.map(lambda value: equal(PORT, value, "!=")),
    numbers.map(lambda value: equal(payload("th", "dport"), value)),
    numbers.map(lambda value: equal({"ct": {"key": "proto-dst", "dir": "original"}}, value)),
    pick([80, 443]).map(lambda value: equal(PORT, value, ">")),
    pick([1, 16, 17]).map(lambda value: equal({"&": [PORT, 0x11]}, value)),
    pick(["eth0", "eth1", "lo", "eth*", listed("eth0", "eth2")]).map(lambda value: equal(NAME, value)),
    pick(["eth0", "gone"]).map(lambda value: equal(NAME, value, "!=")),
    pick(["tcp", "udp", 6, listed("tcp", "udp")]).map(
        lambda value: equal({"meta": {"key": "l4proto"}}, value)
    ),
    pick(["ipv4", "ipv6"]).map(lambda value: equal({"meta": {"key": "nfproto"}}, value)),
    pick([0, 1, 80, 443]).map(lambda value: equal(MARK, value)),
    pick(["new", ["established", "related"]]).map(lambda value: equal({"ct": {"key": "state"}}, value, "in")),
    pick(["@named", "@ports"]).map(lambda value: equal(SOURCE if value == "@named" else PORT, value)),
    st.just(equal({"concat": [SOURCE, PORT]}, "@both")),
    st.just({"limit": {"rate": 1, "per": "second"}}),
)
effects = pick(
    [
        [{"counter": {"packets": 0, "bytes": 0}}],
        [{"mangle": {"key": MARK, "value": 1}}],
        [{"mangle": {"key": MARK, "value": PORT}}],
        [{"mangle": {"key": MARK, "value": {"|": [PORT, 1]}}}],
    ]
)
ends = pick(
    [
        {"accept": None},
        {"drop": None},
        {"reject": None},
        {"return": None},
        {"jump": {"target": "one"}},
        {"goto": {"target": "two"}},
        {"redirect": {"port": 8080}},
        {"redirect": {}},
        {
            "vmap": {
                "key": PORT,
                "data": listed([80, {"accept": None}], [{"range": [81, 443]}, {"drop": None}]),
            }
        },
        {
            "vmap": {
                "key": NAME,
                "data": listed(["eth0", {"jump": {"target": "two"}}], ["eth1", {"drop": None}]),
            }
        },
    ]
)
bans = networks.map(lambda value: [equal(SOURCE, value), {"drop": None}])
exprs = st.one_of(
    bans,
    st.tuples(st.lists(matches, max_size=3), st.one_of(st.just([]), effects), ends).map(
        lambda parts: [*sorted(parts[0], key=vague), *parts[1], parts[2]]
    ),
)
CHAINS = {
    "pre": Chain(name="pre", type="nat", hook="prerouting", priority=-100, policy="accept"),
    "raw": Chain(name="raw", type="filter", hook="prerouting", priority=-300, policy="accept"),
    "in": Chain(name="in", type="filter", hook="input", priority=0, policy="drop"),
    "one": Chain(name="one"),
    "two": Chain(name="two"),
}
ALLOWED = {"pre": {"one", "two"}, "raw": {"two"}, "in": {"one", "two"}, "one": {"two"}, "two": set()}


def fits(chain: str, expr: list[Any]) -> bool:
    """Whether the kernel would take it: no loops of jumps, translations only where they belong."""
    targets = {body["target"] for one in expr for kind, body in one.items() if kind in {"jump", "goto"}}
    if any("vmap" in one for one in expr):
        targets.add("two")
    return targets <= ALLOWED[chain] and (chain == "pre" or not any("redirect" in one for one in expr))


@st.composite
def rules(draw: st.DrawFn, chain: str, most: int) -> tuple[Rule, ...]:
    found = [expr for expr in draw(st.lists(exprs, max_size=most)) if fits(chain, expr)]
    first = draw(st.integers(10, 10_000_000))
    return tuple(
        Rule(chain=chain, handle=handle, expr=tuple(expr)) for handle, expr in enumerate(found, first)
    )


sets = st.fixed_dictionaries(
    {
        "named": st.lists(networks, max_size=2).map(tuple),
        "ports": st.lists(pick([80, 443, {"range": [8000, 9000]}]), max_size=2).map(tuple),
        "both": st.lists(
            st.builds(lambda one, two: {"concat": [one, two]}, networks, pick([80, 443])), max_size=3
        ).map(tuple),
    }
).map(
    lambda given: {name: Set(name=name, type=("x",), elements=elements) for name, elements in given.items()}
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    return Table(
        key=KEY,
        chains=CHAINS,
        rules={name: draw(rules(name, 12 if name == "in" else 4)) for name in CHAINS},
        sets=draw(sets),
    )


@st.composite
def changes(draw: st.DrawFn, table: Table) -> Table:
    """Change a table as a transaction does: what it does not touch stays the same object."""
    if draw(st.booleans()):
        name = draw(pick(sorted(CHAINS)))
        old = list(table.rules[name])
        at = draw(st.integers(0, len(old)))
        old[at : at + draw(st.integers(0, 1))] = draw(rules(name, 1))
        return replace(table, rules={**table.rules, name: tuple(old)})
    name = draw(pick(sorted(table.sets)))
    return replace(table, sets={**table.sets, name: draw(sets)[name]})


@st.composite
def histories(draw: st.DrawFn) -> list[Ruleset]:
    table = draw(tables())
    out = [table]
    for _ in range(draw(st.integers(0, 3))):
        out.append(draw(changes(out[-1])))
    return [Ruleset(generation=number, tables={KEY: table}) for number, table in enumerate(out)]


class Everything(Footprint):
    """Takes every rule of a chain for one that concerns the packets."""

    def step(self, step: Step, table: CompiledTable) -> Concern:
        rules = table.chain(step.chain).every()
        return Concern(tuple(rule for rule in rules if rule.concerns(step.version, step.transport)))


def plain(ruleset: Ruleset, ask: PathClass, links: Links | None) -> PathReport:
    """Walk all rules, and know nothing from before."""
    world = World(links, path._own(ask, links))
    interfaces = path._interfaces(ruleset, ask, links)
    return report(path._fates(ruleset, ask, world, interfaces, Everything(ask.port)))


def branches(found: PathReport) -> set[Branch]:
    """Leave out the way there: equal parts of a flow may have been joined in another order."""
    return {replace(branch, trail=()) for branch in found.branches}


@settings(max_examples=100, deadline=None)
@given(histories(), st.booleans())
def test_an_answer_is_the_one_that_a_walk_over_all_rules_gives(history: list[Ruleset], known: bool) -> None:
    links = LINKS if known else None
    questions = [
        *(asked("tcp", port, EVERYTHING, destination=HOST) for port in PORTS),
        asked("udp", 80, EVERYTHING, destination=HOST),
        asked("icmp", None, EVERYTHING, destination=HOST),
    ]
    answers = []
    for ruleset in history:
        answers += [evaluate(ruleset, ask, links) for ask in questions]
        settle(ruleset)
    walks = [plain(copy.deepcopy(ruleset), ask, links) for ruleset in history for ask in questions]
    asked_for = [(ruleset.generation, ask.transport, ask.port) for ruleset in history for ask in questions]
    for where, answer, walk in zip(asked_for, answers, walks, strict=True):
        assert branches(answer) == branches(walk), where


def noted(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Note the ports that are really walked for."""
    walked: list[int | None] = []
    walk = path._fates

    def fates(
        ruleset: Ruleset, ask: PathClass, world: World, interfaces: frozenset[str], footprint: Footprint
    ) -> dict[int, list[Fate]]:
        walked.append(ask.port)
        return walk(ruleset, ask, world, interfaces, footprint)

    monkeypatch.setattr(path, "_fates", fates)
    return walked


def chain(*exprs_: list[Any]) -> Ruleset:
    rows = tuple(Rule(chain="in", handle=number, expr=tuple(expr)) for number, expr in enumerate(exprs_, 10))
    return Ruleset(generation=1, tables={KEY: Table(key=KEY, chains=CHAINS, rules={"in": rows})})


def test_ports_that_no_rule_tells_apart_share_one_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = chain(
        [equal(PORT, listed(80, 443)), {"accept": None}], [equal(PORT, 22, "!="), {"reject": None}]
    )
    walked = noted(monkeypatch)

    answers = {
        port: evaluate(ruleset, asked("tcp", port, EVERYTHING, destination=HOST), LINKS)
        for port in (80, 443, 81, 9, 22)
    }

    assert walked == [80, 81, 22]
    assert answers[80] is answers[443]
    assert answers[81] is answers[9]


def test_a_change_is_evaluated_for_the_ports_that_it_touches_and_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = chain([equal(PORT, 80), {"accept": None}], [equal(PORT, 443), {"accept": None}])
    table = before.tables[KEY]
    added = Rule(chain="in", handle=99, expr=(equal(PORT, 443), {"drop": None}))
    after = replace(before, tables={KEY: replace(table, rules={"in": (added, *table.rules["in"])})})
    questions = [asked("tcp", port, EVERYTHING, destination=HOST) for port in (80, 443, 631)]
    for ask in questions:
        evaluate(before, ask, LINKS)
    walked = noted(monkeypatch)

    settle(before)
    outcomes = [evaluate(after, ask, LINKS).branches[0].outcome for ask in questions]

    assert walked == [443]
    assert outcomes == ["open", "dropped", "dropped"]


def test_a_mask_on_the_port_is_asked_for_every_port() -> None:
    ruleset = chain([equal({"&": [PORT, 0xFF00]}, 0x1F00), {"accept": None}])

    outcomes = {
        port: evaluate(ruleset, asked("tcp", port, EVERYTHING, destination=HOST), LINKS).branches[0].outcome
        for port in (0x1F00, 0x1F10, 0x2000)
    }

    assert outcomes == {0x1F00: "open", 0x1F10: "open", 0x2000: "dropped"}

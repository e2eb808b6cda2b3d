"""What contain closes: exactly what is exposed, to exactly whom, and never anybody's way in."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import sites
from hypothesis import given, settings
from hypothesis import strategies as st

from portguard.core import closing as rules
from portguard.core import contain
from portguard.core.closing import PROTOCOLS, armed_for, with_closing
from portguard.core.compare import compare, made_by_portguard
from portguard.core.heal import mend, replacement
from portguard.core.planning import plan
from portguard.core.reach import Reach
from portguard.core.render import ARMED, OWN_TABLE, own_table
from portguard.model.apply import apply
from portguard.model.exposure import Application, Exposure
from portguard.model.listener import Owner
from portguard.model.net import AddressSet, PortRange, Transport
from portguard.model.path import Outcome
from portguard.model.policy import Mode
from portguard.model.ruleset import Chain, Rule, Ruleset, Table
from portguard.model.snapshot import Connection, Interface

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.containment import Closing
    from portguard.model.listener import Listener
    from portguard.model.snapshot import Snapshot

POLICY = sites.policy(mode=Mode.CONTAIN)
SENTINEL = AddressSet.of("10.0.0.11")
RESERVED = AddressSet.of("10.28.32.0/26")
FAILSAFE: Any = sites.config().failsafe
RUNNING = tuple({"elem": {"val": name, "timeout": 120, "expires": 60}} for name in PROTOCOLS)


def redis(*ports: int) -> Mapping[int, Exposure]:
    return {port: Exposure(application=Application.REDIS) for port in ports}


def seen(*ports: int, table: Table | None = None, **changes: object) -> Snapshot:
    listeners = tuple(sites.listener(port, "::", v6only=False, **changes) for port in ports)
    return sites.snapshot(sites.ruleset() if table is None else sites.ruleset(table), listeners)


def closed(closing: Closing) -> list[int]:
    return [port.port for port in closing.ports]


def table(closing: Closing, armed: tuple[Any, ...] | None = PROTOCOLS) -> Table:
    wanted = with_closing(own_table(POLICY), POLICY, closing, armed)
    return apply(sites.ruleset(), replacement(wanted, exists=False)).tables[OWN_TABLE]


def strangers(snapshot: Snapshot, port: int) -> AddressSet:
    """Sources that get through to a port."""
    return (
        Reach(snapshot.ruleset, snapshot.links, snapshot.listeners)
        .port(Transport.TCP, port)
        .having(Outcome.OPEN)
    )


class TestWhatIsClosed:
    """A port is closed when somebody whom the documents do not name can reach what must not be exposed."""

    def test_an_undocumented_redis_is_closed_to_everyone_and_a_documented_one_to_all_but_its_zone(
        self,
    ) -> None:
        found = contain.work_out(POLICY, seen(6390, 6379, 8001, 9999), redis(6390))

        assert [(port.port, port.zones, port.allowed) for port in found.ports] == [
            (6379, ("printum/redis-sentinel",), SENTINEL),
            (6390, (), AddressSet()),
        ]

    def test_what_another_firewall_shuts_is_not_exposed_and_not_closed(self) -> None:
        shut = sites.input_table(sites.ESTABLISHED, policy="drop")

        assert closed(contain.work_out(POLICY, seen(6390, table=shut), redis(6390))) == []

    def test_what_may_be_reachable_but_is_not_proven_to_be_is_not_closed(self) -> None:
        odd = sites.input_table(({"xt": {"type": "match", "name": "string"}}, {"drop": None}))

        assert closed(contain.work_out(POLICY, seen(6390, table=odd), redis(6390))) == []

    def test_on_loopback_nothing_is_exposed(self) -> None:
        snapshot = sites.snapshot(sites.ruleset(), (sites.listener(6390, "127.0.0.1"),))

        assert closed(contain.work_out(POLICY, snapshot, redis(6390))) == []

    def test_what_is_closed_stays_closed_although_nobody_can_reach_it_any_more(self) -> None:
        first = contain.work_out(POLICY, seen(6390), redis(6390), now=1.0)
        after = seen(6390, table=table(first))
        assert not strangers(after, 6390)

        assert contain.work_out(POLICY, after, redis(6390), first, 1000.0).ports == first.ports

    def test_it_stays_closed_for_a_while_after_its_listener_went(self) -> None:
        first = contain.work_out(POLICY, seen(6390), redis(6390), now=1.0)
        soon = contain.work_out(POLICY, seen(8001), {}, first, 1.0 + contain.LINGER / 2)
        assert soon.ports == first.ports

        late = contain.work_out(POLICY, seen(8001), {}, soon, 1.0 + contain.LINGER)
        assert late.ports == ()
        assert late.seen == {}

    @pytest.mark.parametrize("part", ["ruleset", "listeners"])
    def test_what_cannot_be_seen_is_not_gone(self, part: str) -> None:
        first = contain.work_out(POLICY, seen(6390), redis(6390), now=1.0)
        blind = replace(seen(), **{part: None})  # type: ignore[arg-type]

        assert contain.work_out(POLICY, blind, {}, first, 10_000.0) == first

    def test_a_changed_zone_changes_whom_a_closed_port_lets_in(self) -> None:
        first = contain.work_out(POLICY, seen(6379), {}, now=1.0)
        moved = sites.policy(mode=Mode.CONTAIN, hosts={"printum/redis-sentinel": AddressSet.of("10.0.0.99")})
        (port,) = contain.work_out(moved, seen(8001), {}, first, 2.0).ports

        assert port.allowed == AddressSet.of("10.0.0.99")

    def test_there_is_an_end_to_what_is_closed(self) -> None:
        ports = range(20_000, 20_000 + contain.MOST + 3)
        found = contain.work_out(POLICY, seen(*ports), redis(*ports))

        assert len(found.ports) == contain.MOST
        assert len(found.spared) == 3


class TestWhatIsSpared:
    """Ways in are never closed, whatever else is true of them."""

    def test_port_22_is_never_closed(self) -> None:
        found = contain.work_out(POLICY, seen(22), redis(22))

        assert found.ports == ()
        assert [str(port) for port in found.spared] == ["22/tcp: port 22 is never closed"]

    @pytest.mark.parametrize(
        ("owner", "uid", "spared"),
        [
            (Owner(process="sshd"), 0, True),
            (Owner(process="sshd"), 1000, False),
            (Owner(unit="ssh.socket", process="systemd"), 0, True),
            (Owner(unit="ssh.service", process="sshd"), 0, True),
            (Owner(process="redis-server", unit="cache.service"), 0, False),
        ],
    )
    def test_where_sshd_of_roots_listens_nothing_is_closed(
        self, owner: Owner, uid: int, *, spared: bool
    ) -> None:
        found = contain.work_out(POLICY, seen(2222, owner=owner, uid=uid), redis(2222))

        assert bool(found.spared) is spared
        assert bool(found.ports) is not spared
        assert ((2222, 2222) in found.safe_tcp) is spared

    def test_failsafe_ports_are_spared(self) -> None:
        policy = sites.policy(
            mode=Mode.CONTAIN, failsafe=(replace(FAILSAFE[0], ports=PortRange(6390, 6391)),)
        )
        found = contain.work_out(policy, seen(6390), redis(6390))

        assert [str(port) for port in found.spared] == ["6390/tcp: [failsafe] keeps it open"]
        assert found.safe_tcp == ((22, 22), (6390, 6391))


class TestRules:
    """What the rules do, as the path evaluation sees them."""

    CLOSING = contain.work_out(POLICY, seen(6390, 6379), redis(6390))

    def after(self, armed: tuple[Any, ...] | None) -> Snapshot:
        return seen(22, 8001, 6379, 6390, 9999, table=table(self.CLOSING, armed))

    @pytest.mark.parametrize("armed", [PROTOCOLS, RUNNING])
    def test_armed_they_close_what_they_name_and_nothing_else(self, armed: tuple[Any, ...]) -> None:
        after = self.after(armed)

        assert strangers(after, 6379) == SENTINEL
        assert not strangers(after, 6390)
        for port in (22, 8001, 9999):
            assert not AddressSet.of("10.77.0.0/16", "2001:db8:77::/48") - strangers(after, port), port

    @pytest.mark.parametrize("armed", [(), None])
    def test_unarmed_they_close_nothing(self, armed: tuple[Any, ...] | None) -> None:
        after, before = self.after(armed), seen(22, 8001, 6379, 6390, 9999)

        for port in (22, 8001, 6379, 6390, 9999):
            assert strangers(after, port) == strangers(before, port)

    def test_the_reserved_range_gets_in_by_ways_in_alone(self) -> None:
        after = self.after(PROTOCOLS)

        assert not strangers(after, 8001) & RESERVED
        assert not RESERVED - strangers(after, 22)

    def test_on_the_products_own_interfaces_the_reserved_range_is_let_in(self) -> None:
        policy = sites.policy(mode=Mode.CONTAIN, reserved_interfaces=("br-printum*", "eth?", "[x]*"))
        found = contain.work_out(policy, seen(8001), {})

        assert found.interfaces == ("br-printum*", "eth0")
        wanted = with_closing(own_table(policy), policy, found, PROTOCOLS)
        after = seen(8001, table=apply(sites.ruleset(), replacement(wanted, exists=False)).tables[OWN_TABLE])
        assert not RESERVED - strangers(after, 8001)

    def test_the_dead_man_tells_how_long_it_runs(self) -> None:
        assert armed_for(None) is None
        assert armed_for(own_table(POLICY)) is None
        assert armed_for(table(self.CLOSING, ())) is None
        assert armed_for(table(self.CLOSING, RUNNING)) == 60
        assert armed_for(table(self.CLOSING, PROTOCOLS)) == float("inf")
        assert armed_for(table(self.CLOSING, (RUNNING[0], "udp"))) == float("inf")


class TestCut:
    """Whose connection the plan would cut."""

    CLOSING = contain.work_out(POLICY, seen(6390), redis(6390))

    def cut(self, peer: str, port: int, local: str = "10.1.0.1") -> tuple[tuple[Connection, str], ...]:
        way = Connection(
            peer=ip_address(peer), peer_port=50000, local=ip_address(local), local_port=port,
            transport=Transport.TCP, state="established", owner=Owner(),
        )  # fmt: skip
        return contain.cut(table(self.CLOSING), [way], sites.LINKS)

    def test_whoever_comes_by_a_closed_port_or_from_the_reserved_range_is_cut(self) -> None:
        ((_, rule),) = self.cut("10.9.0.5", 6390)
        assert "tcp dport 6390" in rule
        ((_, rule),) = self.cut("10.28.32.5", 2222)
        assert "reserved_in" in rule
        assert self.cut("2001:db8:77::1", 6390, "2001:db8:1::1")
        assert self.cut("10.28.32.5", 2222, "0.0.0.0"), "to whichever address"

    def test_whoever_comes_another_way_is_not(self) -> None:
        assert not self.cut("10.9.0.5", 22)
        assert not self.cut("10.28.32.5", 22)
        assert not self.cut("10.9.0.5", 2222)
        assert not self.cut("127.0.0.1", 6390, "127.0.0.1")


class TestOwnTable:
    """Laws of mending a table that closes."""

    CLOSING = contain.work_out(POLICY, seen(6390, 6379), redis(6390))
    CONFIRMED = with_closing(own_table(POLICY), POLICY, CLOSING, PROTOCOLS)
    WAITING = with_closing(own_table(POLICY), POLICY, CLOSING, None)

    def healed(self, desired: Table, found: Table | None) -> Table:
        before = sites.ruleset() if found is None else sites.ruleset(found)
        return apply(before, mend(desired, compare(desired, found))).tables[OWN_TABLE]

    @given(st.data())
    @settings(deadline=None, max_examples=60)
    def test_whatever_is_done_to_it_one_transaction_mends_it_and_arms_only_what_was_confirmed(
        self, data: st.DataObject
    ) -> None:
        found = data.draw(self.damaged())
        after = self.healed(self.CONFIRMED, found)
        assert not compare(self.CONFIRMED, after)
        assert armed_for(after) == float("inf")
        # Unconfirmed, the dead man is what it was, or gone; it is never started or prolonged.
        after = self.healed(self.WAITING, found)
        assert not compare(self.WAITING, after)
        assert armed_for(after) in (armed_for(found), None)

    @classmethod
    def damaged(cls) -> st.SearchStrategy[Table | None]:
        whole = table(cls.CLOSING, RUNNING)

        def damage(chain: str, drop: int, elements: tuple[Any, ...], *, strange: bool) -> Table:
            left = list(whole.rules_of(chain))
            del left[drop:]
            if strange:
                left.append(Rule(chain=chain, handle=900, expr=({"accept": None},)))
            return replace(
                whole,
                rules={**whole.rules, chain: tuple(left)},
                sets={**whole.sets, ARMED: replace(whole.sets[ARMED], elements=elements)},
            )

        chains = st.sampled_from(sorted(whole.chains))
        elements = st.sampled_from([(), ("tcp",), ("tcp", "udp"), RUNNING, (RUNNING[0],), ("icmp",)])
        return st.none() | st.builds(damage, chains, st.integers(0, 3), elements, strange=st.booleans())

    def test_the_order_of_closing_rules_takes_no_part(self) -> None:
        backwards = replace(
            table(self.CLOSING), rules={name: rows[::-1] for name, rows in table(self.CLOSING).rules.items()}
        )

        assert not compare(self.CONFIRMED, backwards)
        after = seen(6379, 6390, table=backwards)
        assert strangers(after, 6379) == SENTINEL
        assert not strangers(after, 6390)

    def test_leaving_the_mode_takes_every_chain_along(self) -> None:
        after = self.healed(own_table(POLICY), table(self.CLOSING))

        assert set(after.chains) == {"input"}
        assert armed_for(after) is None

    def test_a_table_of_closing_sets_alone_is_known_as_portguards(self) -> None:
        bare = replace(table(self.CLOSING), rules={})

        assert made_by_portguard(bare)
        assert not made_by_portguard(replace(bare, sets={"mine": bare.sets[ARMED]}))

    def test_a_chain_of_ours_with_another_hook_is_replaced(self) -> None:
        whole = table(self.CLOSING)
        chain = Chain(name="contain_input", type="filter", hook="forward", priority=-20, policy="accept")
        moved = replace(whole, chains={**whole.chains, "contain_input": chain})

        assert (
            compare(self.CONFIRMED, moved).broken
            == "chain contain_input has another hook, priority or policy"
        )


class TestTransactions:
    """Arming, confirming, disarming on values."""

    def state(self, *operations: Any) -> float | None:
        ruleset: Ruleset = sites.ruleset(table(TestRules.CLOSING, RUNNING))
        for transaction in operations:
            ruleset = apply(ruleset, transaction)
        return armed_for(ruleset.tables[OWN_TABLE])

    def test_arming_starts_the_time_anew_and_confirming_ends_it(self) -> None:
        assert self.state(rules.arm(OWN_TABLE, 90)) == 90
        assert self.state(rules.confirm(OWN_TABLE)) == float("inf")
        assert self.state(rules.disarm(OWN_TABLE)) is None

    def test_as_text_they_are_what_the_manual_says(self) -> None:
        assert str(rules.disarm(OWN_TABLE)) == "flush set inet portguard armed\n"
        assert str(rules.arm(OWN_TABLE, 90)) == (
            "flush set inet portguard armed\n"
            "add element inet portguard armed { tcp timeout 1m30s, udp timeout 1m30s }\n"
        )


class TestPlan:
    """What ``portguard plan --mode contain`` shows."""

    def test_the_plan_closes_what_is_exposed(self) -> None:
        snapshot = seen(6390)
        transaction, after = plan(POLICY, snapshot, redis(6390))

        assert "tcp dport 6390 counter drop" in str(transaction)
        assert not strangers(replace(snapshot, ruleset=after), 6390)
        assert plan(POLICY, replace(snapshot, ruleset=after), redis(6390))[0].operations == ()

    def test_while_the_dead_man_runs_the_plan_leaves_it_alone(self) -> None:
        closing = contain.work_out(POLICY, seen(6390), redis(6390))

        assert not plan(POLICY, seen(6390, table=table(closing, RUNNING)), redis(6390))[0]


def test_a_host_with_links_unread_is_judged_all_the_same() -> None:
    snapshot = replace(seen(6390), links=None)

    assert closed(contain.work_out(POLICY, snapshot, redis(6390))) == [6390]


def test_listeners_of_a_documented_port_are_suspects_of_every_socket() -> None:
    """IPv4 beside IPv6 on one port are one thing."""
    listeners: tuple[Listener, ...] = (sites.listener(6390, "0.0.0.0"), sites.listener(6390, "::", cookie=7))
    interface = Interface(index=9, name="eth9", up=True, addresses=())
    snapshot = sites.snapshot(
        sites.ruleset(), listeners, replace(sites.LINKS, interfaces=(*sites.LINKS.interfaces, interface))
    )

    assert closed(contain.work_out(POLICY, snapshot, redis(7))) == [6390]

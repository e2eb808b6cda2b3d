"""Tables of iptables-legacy stand beside those of nft in a snapshot, as ones that cannot be read."""

from __future__ import annotations

from portguard.daemon.observer import Observer
from portguard.kernel.fake import FakeKernel
from portguard.model.ruleset import legacy_key
from portguard.model.snapshot import Scope


def test_legacy_tables_are_a_gap_and_part_of_the_ruleset_and_the_same_as_long_as_they_stay() -> None:
    found: tuple[str, ...] = ("ip filter", "ip6 nat")
    observer = Observer(FakeKernel().world(), legacy=lambda: found)
    snapshot = observer.snapshot()
    assert snapshot.ruleset is not None
    assert set(snapshot.ruleset.unreadable) == {legacy_key("ip filter"), legacy_key("ip6 nat")}
    assert Scope.LEGACY_TABLES in {gap.scope for gap in snapshot.gaps}
    assert observer.snapshot().ruleset is snapshot.ruleset

    found = ()
    gone = observer.snapshot()
    assert gone.ruleset is not None
    assert not gone.ruleset.unreadable
    assert Scope.LEGACY_TABLES not in {gap.scope for gap in gone.gaps}

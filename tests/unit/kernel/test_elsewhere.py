"""A daemon in a network namespace that is not the host's: nothing is judged, nothing is written, and it says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard.catalogue.load import load
from portguard.core.judge import judge
from portguard.core.resolve import resolve
from portguard.daemon.observer import Observer
from portguard.errors import NftError
from portguard.kernel.elsewhere import ELSEWHERE, is_service, namespace_gap, unseen
from portguard.kernel.fake import FakeKernel
from portguard.model.config import Config
from portguard.model.finding import Kind, Verdict
from portguard.model.net import Transport
from portguard.model.snapshot import Gap, Scope
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from pathlib import Path

GAP = Gap(scope=Scope.NAMESPACE, reason=ELSEWHERE)


@pytest.mark.parametrize(
    ("environ", "parent", "service"),
    [
        ({"INVOCATION_ID": "a"}, 1, True),
        ({"INVOCATION_ID": "a"}, 4711, False),  # a shell that a service started
        ({}, 1, False),  # an orphan
    ],
)
def test_only_what_the_service_manager_started_is_a_service(
    environ: dict[str, str], parent: int, service: bool
) -> None:
    assert is_service(environ, parent) is service


def test_the_same_namespace_is_no_gap(tmp_path: Path) -> None:
    own, host, other = (tmp_path / name for name in ("own", "host", "other"))
    own.touch()
    host.hardlink_to(own)
    other.touch()

    assert namespace_gap(own, host) is None
    assert namespace_gap(own, other) == GAP


def test_a_namespace_that_cannot_be_told_is_a_gap(tmp_path: Path) -> None:
    gap = namespace_gap(tmp_path, tmp_path / "none")

    assert gap is not None
    assert gap.scope == Scope.NAMESPACE
    assert "cannot be told" in gap.reason


def test_nothing_is_judged_and_the_reason_is_named() -> None:
    kernel = FakeKernel()
    kernel.listen(Transport.TCP, "0.0.0.0", 6379)
    policy = resolve(Config(roles=("printum/all-in-one",)), load())
    observer = Observer(unseen(kernel.world(), GAP), legacy=tuple)

    judgement = judge(policy, observer.snapshot(), observer.sensitive())

    assert judgement.verdict is Verdict.UNKNOWN
    assert {row.kind for row in judgement.findings} <= {Kind.VISIBILITY_DEGRADED, Kind.ZONE_UNDEFINED}
    assert any(ELSEWHERE in row.message for row in judgement.findings)
    assert GAP in judgement.gaps
    assert observer.own_table() == (None, False)


def test_nothing_is_written() -> None:
    kernel = FakeKernel()

    with pytest.raises(NftError):
        unseen(kernel.world(), GAP).firewall.commit(Transaction())
    assert kernel.commits == []

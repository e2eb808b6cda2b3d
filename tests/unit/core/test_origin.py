"""A finding about a listener says who started its process, as far as known."""

from __future__ import annotations

import sites

from portguard.core.judge import judge
from portguard.model.finding import Kind
from portguard.model.listener import Owner


def test_an_unexpected_listener_names_its_package_and_who_started_it() -> None:
    owner = Owner(
        process="nc", unit="session-4.scope", pid=7, exe="/usr/bin/nc.openbsd", parent="bash", loginuid=1000,
        login="bob", session="4", remote="10.9.0.5", package="netcat-openbsd",
    )  # fmt: skip
    listeners = (sites.listener(4444, owner=owner),)
    judgement = judge(sites.policy(), sites.snapshot(sites.ruleset(), listeners), {})
    (finding,) = (row for row in judgement.findings if row.kind is Kind.LISTENER_UNEXPECTED)

    assert "(nc, session-4.scope, started by bob from 10.9.0.5)" in finding.message
    known = {
        name: finding.evidence[name]
        for name in ("parent", "package", "loginuid", "login", "session", "remote")
    }
    assert known == {
        "parent": "bash",
        "package": "netcat-openbsd",
        "loginuid": 1000,
        "login": "bob",
        "session": "4",
        "remote": "10.9.0.5",
    }


def test_what_is_not_known_is_left_out() -> None:
    judgement = judge(sites.policy(), sites.snapshot(sites.ruleset(), (sites.listener(4444),)), {})
    (finding,) = (row for row in judgement.findings if row.kind is Kind.LISTENER_UNEXPECTED)

    assert not {"parent", "package", "login", "remote"} & finding.evidence.keys()

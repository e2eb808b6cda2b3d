"""Every role of the catalogue runs in the lab: the real daemon, all listeners, real connections, verdict ok."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from portguard.catalogue.load import load

pytestmark = pytest.mark.lab

ROLES = sorted(load().role_by_id)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_guarded_and_all_its_documented_connections_are_open(role: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portguard", "lab", "--role", role, "--scenario", "none", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)

    assert document["verdict"] == "ok"
    assert document["ok"]
    (start,) = document["steps"]
    assert start["problems"] == []
    assert start["sweep"]["shut"] == []
    assert start["sweep"]["open"] == start["sweep"]["tried"]

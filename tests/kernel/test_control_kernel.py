"""``portguard reload`` against the real daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from guarded_host import GuardedHost, guarded_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    """A host whose daemon is not started yet."""
    with guarded_host(netns, tmp_path) as guarded:
        yield guarded


def reload(host: GuardedHost) -> tuple[int, str]:
    done = host.command("reload", "--config", str(host.config))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_reload_returns_when_the_good_configuration_is_in_force(host: GuardedHost) -> None:
    host.start()
    host.config.write_text(host.config.read_text().replace('mode = "heal"', 'mode = "observe"'))

    assert reload(host) == (0, "")
    assert "from heal to observe" in host.said("mode_changed")[0]


def test_a_reload_of_a_bad_configuration_prints_every_fault_and_is_78(host: GuardedHost) -> None:
    host.start()
    rules = host.own_rules()
    good = host.config.read_text()
    host.config.write_text(good.replace('"10.2.0.0/16"', '"10.28.32.0/27"').replace('"heal"', '"heel"'))
    code, said = reload(host)

    assert code == 78
    assert "zones.printers[0]" in said
    assert "mode" in said
    assert host.own_rules() == rules
    host.config.write_text(good)
    assert reload(host) == (0, "")


def test_without_a_daemon_it_says_so_and_is_3(host: GuardedHost) -> None:
    code, said = reload(host)

    assert code == 3
    assert "no daemon listens" in said
    host.start()
    host.stop()
    assert reload(host)[0] == 3

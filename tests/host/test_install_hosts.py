"""The package: installed, configured by what init proposes, upgraded, removed and purged as an administrator does it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from host.harness import packages
from host.harness.debian import FILES
from host.harness.report import record
from host.harness.site import CONFIG, own_rules

if TYPE_CHECKING:
    from pathlib import Path

    from host.harness.debian import Debian
    from host.harness.site import Site

PORT = 8010
MAIN = "/etc/portguard/portguard.toml"

OF_DPKG = re.compile(
    r"/(var/lib/(dpkg|apt|systemd|pam)|var/cache/(apt|debconf|ldconfig|man)|var/log|etc/(passwd|group|shadow|gshadow|subuid|subgid))"
    r"(/|-|$)"
)
"""Books that dpkg, apt and the system keep about any package, and users: they stay, as everywhere in Debian."""


def test_apt_installs_it_it_observes_and_nothing_is_written_to_any_firewall(debian: Debian) -> None:
    done = debian.installation

    assert (done.active, done.enabled) == ("active running", "enabled"), done.journal
    assert done.failed == ""
    assert json.loads(done.status)["mode"] == "observe"
    assert (done.ruleset_before, done.ruleset) == ("", "")
    complaints = [
        line for line in done.apt.splitlines() if re.match(r"(E:|W:|dpkg: (error|warning))|Could not", line)
    ]
    assert complaints == []


def test_the_service_is_hardened_runs_as_its_own_user_and_says_no_word_of_warning(debian: Debian) -> None:
    with debian.installed() as site:
        site.host.boot()
        site.host.wait_for(lambda: site.alerts("heartbeat"), "the first look")

        security = site.host.run("systemd-analyze", "security", "portguard.service", "--no-pager").stdout
        found = re.search(r"Overall exposure level for portguard.service: ([0-9.]+)", security)
        assert found is not None
        assert float(found[1]) <= 1.5, security
        shown = site.host.show("portguard.service", "User", "ActiveState", "NRestarts", "MainPID", "Result")
        assert (shown["User"], shown["ActiveState"], shown["NRestarts"]) == ("portguard", "active", "0")
        assert site.host.systemctl("is-system-running", "--wait", check=False) == "running", (
            site.host.last_words()
        )
        # Neither systemd about the unit, nor the daemon about itself: an alert is about the host, and has a kind.
        words = site.journal("--unit=portguard", "--priority=warning")
        assert [row["MESSAGE"] for row in words if "PORTGUARD_EVENT" not in row] == []
        lines = site.host.shell(f"cat /proc/{shown['MainPID']}/status").splitlines()
        resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        record(
            debian.name, "systemd-analyze security of the running service", exposure=float(found[1]),
            resident_MB=round(resident / 1000, 1),
        )  # fmt: skip


def test_an_upgrade_keeps_rules_and_configuration_and_no_connection_fails(
    debian: Debian, host: Site, tmp_path: Path
) -> None:
    package = packages.as_version(debian.release.package, "99.0", tmp_path)
    rules, configured = own_rules(host), host.host.shell(f"cat {CONFIG}")
    pid = host.host.show("portguard.service", "MainPID")["MainPID"]

    with host.client.watch(PORT, every=0.005) as watch:
        packages.install(host.host, package)
        host.host.wait_for(
            lambda: (
                host.host.show("portguard.service", "MainPID", "ActiveState")
                not in (
                    {"MainPID": pid, "ActiveState": "active"},
                    {"MainPID": "0", "ActiveState": "activating"},
                )
            ),
            "the new daemon",
        )
        host.settled()

    assert watch.failed == []
    assert len(watch.attempts) > 100
    assert host.host.shell("dpkg-query -W -f '${Version}' portguard") == "99.0"
    assert own_rules(host) == rules
    assert host.host.shell(f"cat {CONFIG}") == configured
    assert host.host.systemctl("is-active", "portguard") == "active"
    record(debian.name, "upgrade", connections=len(watch.attempts), failed=len(watch.failed))


def test_an_upgrade_with_another_portguard_toml_asks_nothing_unless_somebody_changed_theirs(
    debian: Debian, tmp_path: Path
) -> None:
    def newer(version: str) -> Path:
        text = f"# The defaults of {version}.\n"
        return packages.as_version(debian.release.package, version, tmp_path, {MAIN: text})

    with debian.installed() as site:
        host = site.host
        host.boot()

        said = packages.install(host, newer("98.0"))
        assert host.shell(f"cat {MAIN}") == "# The defaults of 98.0.\n"
        assert "onfiguration file" not in said, "nobody had changed it, and dpkg asked"

        mine = 'role = "printum/all-in-one"\n'
        host.write(MAIN, mine)
        packages.install(host, newer("99.0"), "--option=Dpkg::Options::=--force-confold")
        assert host.shell(f"cat {MAIN}") == mine
        assert host.shell(f"cat {MAIN}.dpkg-dist") == "# The defaults of 99.0.\n"
        host.wait_for(lambda: site.status()["role"] == ["printum/all-in-one"], "its configuration in force")
        assert host.systemctl("is-active", "portguard") == "active"


def test_removal_takes_the_own_rules_away_and_nothing_else(host: Site) -> None:
    mine = "table inet mine { chain input { type filter hook input priority 5; policy accept; tcp dport 1 drop; }; }"
    host.host.run("nft", mine)
    assert own_rules(host)

    host.host.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq", "remove", "portguard")

    after = host.ruleset()
    assert "portguard" not in after
    host.host.shell("nft flush ruleset; nft -f /etc/nftables.conf")
    host.host.run("nft", mine)
    assert host.ruleset() == after, "what others had written is not as it was"
    assert host.host.shell(f"cat {CONFIG}"), "the configuration stays until it is purged"
    assert host.host.systemctl("list-unit-files", "--plain", "--no-legend", "portguard*", check=False) == ""
    assert host.host.run("ps", "-u", "portguard", "-o", "pid=", check=False).stdout == ""


def test_purge_leaves_no_file_of_ours(debian: Debian, host: Site) -> None:
    others = host.host.shell("cat /var/lib/dpkg/info/*.list").splitlines()
    ours = host.host.shell("cat /var/lib/dpkg/info/portguard.list").splitlines()

    host.host.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq", "purge", "portguard")

    known = debian.installation.files_before | (set(others) - set(ours))
    site = {CONFIG, "/opt/vendor", "/opt/vendor/listen.py", "/etc/nftables.conf"}
    left = [
        path
        for path in host.host.shell(FILES).splitlines()
        if path not in known and path not in site and not OF_DPKG.match(path) and "__pycache__" not in path
    ]
    # What the tests have put there: the package itself, the product and what it is started by.
    left = [path for path in left if not path.startswith(("/root/", "/etc/systemd/system/", "/etc/apt"))]
    # The package file that apt was given lies in /root; dpkg, apt and the system keep books about every package.
    traces = [path for path in host.host.shell(FILES).splitlines() if "portguard" in path]
    traces = [path for path in traces if not path.startswith("/root/")]
    assert left == []
    assert [path for path in traces if not OF_DPKG.match(path)] == []
    assert "portguard" in host.host.shell("cut -d: -f1 /etc/passwd"), (
        "a user's files may still be about: it stays"
    )
    record(debian.name, "left after purge", files=", ".join(traces) or "none", user="portguard")


def test_the_packages_own_smoke_test_passes_on_a_host(debian: Debian) -> None:
    """What autopkgtest runs: the scripts of packaging/deb/tests, as root in an installed system."""
    control = (packages.TESTS / "control").read_text()
    names = re.findall(r"^Tests: (.*)$", control, re.MULTILINE)
    assert names
    with debian.installed() as site:
        site.host.boot()
        for name in " ".join(names).replace(",", " ").split():
            site.host.write(f"/root/{name}", (packages.TESTS / name).read_text(), 0o755)
            done = site.host.run(
                "env", "AUTOPKGTEST_TMP=/tmp", "ADTTMP=/tmp", f"/root/{name}", check=False, timeout=120
            )
            assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
            # autopkgtest takes any word on standard error for a failure, unless the test says otherwise.
            if "allow-stderr" not in control:
                assert done.stderr == ""

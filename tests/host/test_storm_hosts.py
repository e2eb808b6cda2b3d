"""A server on which sockets open and close all the time: portguard stays up, is right, and tells each thing once."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from host.harness.report import record
from host.harness.site import own_rules

if TYPE_CHECKING:
    from host.harness.debian import Debian
    from host.harness.site import Site

SECONDS = float(os.environ.get("PORTGUARD_STORM_SECONDS", "10"))
"""How long; a minute is what a server meets when its product starts."""

RATE = 1000

STORM = """\
import json, random, socket, sys, time
seconds, rate = float(sys.argv[1]), int(sys.argv[2])
began = time.monotonic()
opened = 0
ports = random.Random(1)
while (spent := time.monotonic() - began) < seconds:
    if opened >= spent * rate:
        time.sleep(0.0005)
        continue
    sock = socket.socket()
    try:
        sock.bind(("0.0.0.0", ports.randrange(20000, 30000)))
        sock.listen()
        opened += 1
    except OSError:
        pass
    sock.close()
print(json.dumps({"opened": opened, "seconds": time.monotonic() - began}))
"""

KEPT = 4444


def test_a_thousand_listeners_a_second_lose_and_double_no_alert(debian: Debian, host: Site) -> None:
    rules = own_rules(host)
    cpu = int(host.host.show("portguard.service", "CPUUsageNSec")["CPUUsageNSec"])
    host.host.write("/opt/storm.py", STORM)
    host.host.shell(
        f"systemd-run --quiet --unit=storm --property=StandardOutput=file:/root/storm.json"
        f" python3 /opt/storm.py {SECONDS} {RATE}"
    )

    # In the middle of it: a listener that stays, and a rule that goes.
    kept = f"import socket, time; kept = socket.create_server(('', {KEPT})); time.sleep(600)"
    host.host.run("systemd-run", "--quiet", "--unit=kept", "python3", "-c", kept)
    host.alerted("listener_unexpected", port=str(KEPT))
    host.host.shell("nft -f /etc/nftables.conf")
    host.host.wait_for(lambda: own_rules(host) == rules, "every rule as it was")
    host.host.systemctl("stop", "kept")
    host.alerted("listener_unexpected", "resolved", port=str(KEPT))
    host.host.wait_for(
        lambda: host.host.systemctl("is-active", "storm", check=False) != "active",
        "the end of it",
        SECONDS + 30,
    )

    storm = json.loads(host.host.shell("cat /root/storm.json"))
    assert storm["opened"] / storm["seconds"] > RATE * 0.5, "the machine was too slow to make a storm"
    host.settled()
    assert len(host.alerts("listener_unexpected", port=str(KEPT))) == 1
    assert len(host.alerts("listener_unexpected", "resolved", port=str(KEPT))) == 1
    fired = {
        (row["PORTGUARD_FINDING"], row["PORTGUARD_FIRST_SEEN"]) for row in host.alerts("listener_unexpected")
    }
    assert len(fired) == len(host.alerts("listener_unexpected")), "told twice"
    assert len(host.alerts("rule_removed")) == 1
    healed = [row["MESSAGE"].partition(";")[0] for row in host.alerts("rule_healed", "resolved")]
    assert len(healed) == 4, healed  # the own table and the administrator's, at the start and after the flush
    shown = host.host.show("portguard.service", "ActiveState", "NRestarts", "CPUUsageNSec")
    assert (shown["ActiveState"], shown["NRestarts"]) == ("active", "0")
    assert host.alerts("visibility_degraded") == []
    used = (int(shown["CPUUsageNSec"]) - cpu) / 1e9
    record(
        debian.name, "storm of listeners", opened=storm["opened"], seconds=round(storm["seconds"], 1),
        a_second=round(storm["opened"] / storm["seconds"]), cpu_percent=round(100 * used / storm["seconds"], 1),
    )  # fmt: skip

"""``make host RELEASE=13``: a shell on a booted host with portguard installed, and a client beside it.

Leaving the shell throws the host away.
"""

from __future__ import annotations

import os
import subprocess
import sys

from host.harness import leftovers, packages, releases
from host.harness.held import HarnessError
from host.harness.site import DROPS, Site, configuration

WELCOME = """\
{name} is up (systemd took {seconds:.2f} s). portguard {version} is installed and observes; nothing is configured.

  a site's configuration     cp /root/50-site.toml /etc/portguard/conf.d/
  a firewall that drops all  cp /root/nftables.conf /etc/ && systemctl start nftables
  what portguard does        journalctl -fu portguard
  the client's side          nsenter --net={client} in another shell, as root

Leave with exit or Ctrl-D.
"""


def main(word: str) -> int:
    """Boot a host of Debian 12 or 13, and give its shell."""
    if word not in ("12", "13"):
        print("make host RELEASE=12 or make host RELEASE=13", file=sys.stderr)  # noqa: T201 - the command's own voice
        return 64
    leftovers.sweep()
    try:
        release = releases.debian(int(word), packages.built(int(word)))
        with Site(release.name, [releases.prepare(release)]) as site:
            host = site.host
            host.write("/root/50-site.toml", configuration())
            host.write("/root/nftables.conf", DROPS)
            host.boot()
            packages.install(host, release.package)
            print(  # noqa: T201
                WELCOME.format(
                    name=host.name,
                    seconds=host.boot_seconds,
                    version=packages.version_of(release.package),
                    client=site.client.namespace.path,
                )
            )
            term = f"TERM={os.environ.get('TERM', 'dumb')}"
            subprocess.run(host.words("env", term, "bash", "--login"), check=False)
    except HarnessError as error:
        print(f"portguard hosts: {error}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        leftovers.end_of_run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))

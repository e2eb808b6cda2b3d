"""Helper process: a writer that stays alive, as a firewall daemon does. Runs each line of its input as an nft command."""

from __future__ import annotations

import sys

from nftables import Nftables


def main() -> None:
    """Answer ``ok``, or what libnftables complains of, to each line."""
    context = Nftables()
    print("ready", flush=True)
    for line in sys.stdin:
        code, _, error = context.cmd(line.strip())
        print("ok" if code == 0 else error.strip().partition("\n")[0] or "failed", flush=True)


if __name__ == "__main__":
    main()

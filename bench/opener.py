"""Helper process: listens on each port that it is told, until it is told 0, and says when it began.

It is started under the name of a Redis, which is reported at once; what is merely not documented may first last a second.
"""

from __future__ import annotations

import socket
import sys
import time


def main() -> None:
    """Answer ``PORT`` with the monotonic time just before listen(), in nanoseconds, until there is nothing more to read."""
    print("ready", flush=True)
    held: socket.socket | None = None
    for line in sys.stdin:
        if held is not None:
            held.close()
        if line == "0\n":
            print("closed", flush=True)
            continue
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("0.0.0.0", int(line)))
        before = time.monotonic_ns()
        held.listen()
        print(before, flush=True)


if __name__ == "__main__":
    main()

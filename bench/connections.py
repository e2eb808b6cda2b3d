"""Helper process: holds both ends of many established TCP connections over loopback."""

from __future__ import annotations

import resource
import socket
import sys


def main() -> None:
    """Connect, say ready, and hold on until the input ends."""
    count, port = int(sys.argv[1]), int(sys.argv[2])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    with socket.create_server(("127.0.0.1", port)) as server:
        for _ in range(count):
            held.append(socket.create_connection(server.getsockname()))
            held.append(server.accept()[0])
    # The listening socket is closed again: only what was accepted is left.
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

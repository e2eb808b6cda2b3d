"""Helper process: makes and ends connections over loopback as fast as it can, and says how many."""

from __future__ import annotations

import _socket
import os
import socket
import struct
import sys
import time

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, which accepted sockets have from the one that listens: closing resets, so that no port is held for a minute."""


def main() -> None:
    """Answer ``SECONDS`` with the number of connections made in that time, and ``pid`` with the number of this process."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        print("ready", flush=True)
        for line in sys.stdin:
            print(os.getpid() if line == "pid\n" else _storm(server, float(line)), flush=True)


def _storm(server: socket.socket, seconds: float) -> int:
    # Without the socket module's classes: what is left is nearly all the kernel's work, 30 microseconds a connection.
    accept = server._accept  # type: ignore[attr-defined]  # noqa: SLF001
    address, close, connecting = server.getsockname(), os.close, _socket.socket
    count = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(100):
            client = connecting(socket.AF_INET, socket.SOCK_STREAM, 0)
            client.connect(address)
            close(accept()[0])
            client.close()
        count += 100
    return count


if __name__ == "__main__":
    main()

"""Helper that speaks enough Redis or RMI to be taken for the real server, where that is not installed.

``python -m portguard.lab.stand_ins redis|jmx PORT [ARGUMENT...]``: the further arguments are there to be seen in the
process list, as the real server's would be.
"""

from __future__ import annotations

import contextlib
import socket
import sys

ANSWERS = {
    "redis": b"+PONG\r\n",
    # ProtocolAck of JRMP: 'N', then the client's host name (UTF) and port as the server sees them.
    "jmx": b"N\x00\x09127.0.0.1\x00\x00\x00\x00",
}


def main(what: str, port: int) -> None:
    """Answer every connection once, for ever."""
    with socket.create_server(("0.0.0.0", port)) as server:  # noqa: S104 - exposed on purpose, in the lab's namespace
        while True:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.settimeout(1.0)
                if client.recv(64):
                    client.sendall(ANSWERS[what])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

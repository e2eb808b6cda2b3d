"""How long a person waits for an answer: whole processes, from start to end."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from bench import peers, server, timing
from bench.figures import Figure, Samples, absent
from bench.processes import rests
from bench.sandbox import PYTHON

TITLE = "asking a running daemon how things are"
UNIT = "ms"
AIM = 100.0
_JUDGEMENTS = (0, 1, 2, 3)
"""Exit codes of ``status``: which one depends on what listens here, not on whether it worked."""

prepare = peers.fetch


def measure(*, quick: bool) -> list[Figure]:
    """Time the clients of the daemon and of the peers, and nft's own listing."""
    repetitions = 3 if quick else 30
    portguard = str(Path(PYTHON).with_name("portguard"))
    figures = []
    with ExitStack() as stack:
        server.write_config()
        stack.enter_context(server.listeners())
        rests(stack.enter_context(server.daemon()).pid)
        for arguments in (("status",), ("status", "--json")):
            command = (portguard, *arguments, "--config", str(server.CONFIG))
            found = timing.program(*command, repetitions=repetitions, codes=_JUDGEMENTS)
            name = " ".join(("portguard", *arguments))
            figures.append(Figure(case=TITLE, subject=name, unit=UNIT, samples=found, aim=AIM))
        for name, peer in stack.enter_context(peers.running()).items():
            command = next(row.client for row in peers.PEERS if row.name == name)
            client = " ".join((Path(command[0]).name, *command[1:]))
            if isinstance(peer, str):
                figures.append(absent(TITLE, client, UNIT, peer))
                continue
            found = Samples.of(json.loads(peer.ask(f"time {repetitions}")))
            figures.append(Figure(case=TITLE, subject=client, unit=UNIT, samples=found))
        found = timing.program("nft", "list", "ruleset", repetitions=repetitions)
        figures.append(Figure(case=TITLE, subject="nft list ruleset", unit=UNIT, samples=found))
    return figures

"""Build the lab, keep it up, and take every part of it away again, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Self

from portguard import config
from portguard.catalogue import load as catalogues
from portguard.core.resolve import resolve
from portguard.errors import LabError, UsageError
from portguard.lab import configuration, firewall
from portguard.lab.children import Child, Helper
from portguard.lab.guard import Guard
from portguard.lab.network import Network
from portguard.lab.ports import documented, probes
from portguard.lab.rundir import RunDir
from portguard.lab.stage import Commit, Stage
from portguard.lab.topology import CLIENTS, SERVER, plan
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from portguard.model.flow import Catalogue

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def read_catalogue(roles: Sequence[str], own: Path) -> Catalogue:
    """Read the catalogue and check that the roles are in it. Raises ConfigError and UsageError."""
    catalogue = catalogues.load(catalogues.local_files(own))
    for role in roles:
        if role not in catalogue.role_by_id:
            raise UsageError(f"no role {role!r}{did_you_mean(role, catalogue.role_by_id)}")
    return catalogue


@contextlib.contextmanager
def session(
    roles: Sequence[str], doing: Callable[[str], None], own: Path = catalogues.LOCAL_CATALOGUE
) -> Iterator[Stage]:
    """Build the lab for these roles and remove it at the end, also after Ctrl-C, SIGTERM and any error.

    ``own`` is the folder of this site's own catalogue files.
    Raises LabError when it cannot be built. Only the main thread may enter it: it takes over the signals.
    """
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes network namespaces (nothing of the host is changed)")
    catalogue = read_catalogue(roles, own)
    with _Signals() as signals, contextlib.ExitStack() as stack:
        try:
            yield _build(roles, catalogue, own, stack, doing)
        finally:
            signals.ignored = True
            doing("removing the lab")


def _build(
    roles: Sequence[str],
    catalogue: Catalogue,
    own: Path,
    stack: contextlib.ExitStack,
    doing: Callable[[str], None],
) -> Stage:
    """Build everything; what was built is on the stack, whenever this is interrupted."""
    run = RunDir()
    stack.callback(run.close)
    for tag in run.open():
        doing(f"removed what the crashed run {tag} left behind")
    network = Network(run.prefix)
    stack.callback(network.remove)
    topology = plan(catalogue, roles)
    doing("making seven network namespaces")
    network.build(topology)

    file = run.path / "portguard.toml"
    file.write_text(configuration.text(roles, topology, run.path, own), encoding="utf-8")
    # Without the environment: PORTGUARD_* of the caller's shell is for another daemon than the lab's.
    policy = resolve(config.load(file, catalogue, {}), catalogue)

    doing("starting the listeners and the clients")
    commits: list[Commit] = []
    server = network.namespace(SERVER.name)
    witness = [sys.executable, "-s", "-m", "portguard.lab.witness"]
    stack.callback(Child(server, witness, on_output=lambda line: _note(commits, line)).stop)
    listeners = Helper(server, "portguard.lab.listeners", program=run.program("portguard-lab-listeners"))
    stack.callback(listeners.stop)
    probers = {}
    for client in CLIENTS:
        probers[client.name] = Helper(network.namespace(client.name), "portguard.lab.prober")
        stack.callback(probers[client.name].stop)
    standing = tuple(documented(policy))
    failed = listeners.ask("open", listeners=standing)["failed"]
    if failed:
        raise LabError(f"cannot listen on {failed[0][1]}/{failed[0][0]}: {failed[0][2]}")
    site = firewall.site(policy)
    if site:
        network.run(SERVER.name, ["nft", "-f", "-"], text=site)

    doing("starting the daemon")
    guard = Guard(server, run.path)
    stack.callback(guard.stop)
    guard.wait_ready()
    stage = Stage(
        run=run,
        network=network,
        topology=topology,
        policy=policy,
        guard=guard,
        listeners=listeners,
        standing=standing,
        probers=probers,
        documented=tuple(probes(policy, topology, network.versions)),
        site=site,
        commits=commits,
    )
    stack.callback(_stop_guests, stage)
    return stage


def _note(commits: list[Commit], line: str) -> None:
    row: dict[str, Any] = json.loads(line)
    if "at" in row:
        commits.append(Commit(at=row["at"], pid=row["pid"], comm=row["comm"]))


def _stop_guests(stage: Stage) -> None:
    while stage.guests:
        stage.guests.pop().stop()


class Interrupted(KeyboardInterrupt):
    """A signal asked the lab to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Signals:
    """Turns the signals that end a program into an exception, so that everything is cleaned up on the way out."""

    def __init__(self) -> None:
        self.ignored = False
        """Cleaning up has begun: a second Ctrl-C must not leave half of the lab behind."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._interrupt) for number in _ENDING}
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, _frame: object) -> None:
        if not self.ignored:
            self.ignored = True
            raise Interrupted(number)

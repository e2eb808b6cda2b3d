"""One booted host: an overlay of a release, a network namespace, a control group, and systemd as process 1."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.harness import cgroup
from host.harness.held import HarnessError, command, own_folder, start
from host.harness.network import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

PATIENCE = 30.0
"""Seconds within which a host has to boot, to end, and to do what a test waits for."""

_REBOOTED = 133
"""Exit status of systemd-nspawn when the host wants to be started again."""

_INSIDE = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

_APART = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
"""A mount and a pid namespace per host: its overlay and every process of it go with the first one. By itself a killed
systemd-nspawn leaves the host running."""

_BOOT = """
for group in {groups}; do echo 0 > $group/cgroup.procs; done
mount -t overlay overlay -o lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work {folder}/merged
mount --bind {netns} {folder}/netns
mount -t proc proc /proc
exec systemd-nspawn --quiet --directory={folder}/merged --boot --machine={name} --register=no --keep-unit \\
  --notify-ready=yes --console=pipe --network-namespace-path={folder}/netns --capability=CAP_NET_ADMIN --resolv-conf=off \\
  --timezone=off --link-journal=no
"""

_NUMBERS = itertools.count(1)


class Host:
    """A Debian that lives as long as a test.

    Files are put on it with :meth:`write` before the boot, and through :meth:`run` while it is up.
    """

    def __init__(
        self,
        release: str,
        layers: Sequence[Path],
        *,
        network: Callable[[Namespace], None] | None = None,
    ) -> None:
        self.name = f"{release}-{next(_NUMBERS)}"
        self.release = release
        self.folder = own_folder() / self.name
        self.upper = self.folder / "upper"
        self.layers = tuple(layers)
        """What lies below, the uppermost first."""
        self.namespace: Namespace | None = None
        self.boot_seconds = 0.0
        self._network = network
        self._groups: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        for part in ("upper", "work", "merged"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "netns").touch()
        # What a copy of one installation gets of its own. The folder makes the journal outlive a reboot.
        self.write("/etc/machine-id", uuid.uuid4().hex + "\n")
        self.write("/etc/hostname", self.name + "\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost {self.name}\n::1 localhost\n")
        (self.upper / "var/log/journal").mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    # --- its life ----------------------------------------------------------------------------------------------

    def boot(self) -> Self:
        """Start it, and wait until its systemd has reached the default target. Raises HarnessError when it does not."""
        began = time.monotonic()
        assert self._process is None, f"{self.name} is up already"
        self.namespace = Namespace()
        if self._network is not None:
            self._network(self.namespace)
        # Two hierarchies may both be there; joining is by name, and both are taken away at the end.
        self._groups = cgroup.make(f"{os.getpid()}-{self.name}")
        notify = f"\0portguard-{os.getpid()}-{self.name}"
        script = _BOOT.format(
            groups=" ".join(map(str, self._groups)),
            lower=":".join(map(str, self.layers)),
            folder=self.folder,
            name=self.name,
            netns=self.namespace.path,
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(notify)
            self._process = start(
                [*_APART, "sh", "-ec", script],
                log=self.folder / "console.log",
                environ={"NOTIFY_SOCKET": "@" + notify[1:], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
            self._wait_until_ready(told)
        self.boot_seconds = time.monotonic() - began
        return self

    def _wait_until_ready(self, told: socket.socket) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._exit_code() is not None:
                raise HarnessError(f"{self.name} does not boot: {self.console()[-1500:]}")
            if not select.select([told], [], [], 0.1)[0]:
                continue
            if "READY=1" in told.recv(4096).decode(errors="replace").splitlines():
                self._leader = self._find_leader()
                return
        raise HarnessError(f"{self.name} is not up after {PATIENCE:g} s: {self.console()[-1500:]}")

    def _find_leader(self) -> int:
        """Find the host's systemd, by its number here; systemd-nspawn tells the one in its own pid namespace."""
        assert self._process is not None
        (nspawn,) = _children(self._process.pid)
        (leader,) = _children(nspawn)
        return leader

    def stop(self) -> None:
        """Switch it off as its power button would. Raises HarnessError when it has to be cut off instead."""
        if self._process is None:
            self._free()
            return
        if self._exit_code() is None and self._leader:
            os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd: poweroff.target
        self._ended()

    def reboot(self) -> None:
        """Reboot it by its own command: /run, the ruleset and every process are new, what is on disk stays."""
        self.run("systemctl", "reboot", "--no-block")
        code = self._ended()
        if code != _REBOOTED:
            raise HarnessError(f"{self.name} ended with {code} instead of rebooting")
        self.boot()

    def cut(self) -> None:
        """Pull the plug: nothing is told, nothing is written any more."""
        assert self._process is not None
        self._process.kill()
        self._ended()

    def destroy(self) -> None:
        """Switch it off and take away all that was made for it."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    def _ended(self) -> int:
        """Wait for its end, and free what only a running host needs."""
        assert self._process is not None
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise HarnessError(f"{self.name} does not end: {self.console()[-1500:]}") from None
        finally:
            self._free()
        return code

    def _free(self) -> None:
        """Give back what only a running host needs."""
        self._process = None
        self._leader = 0
        groups, self._groups = self._groups, []
        namespace, self.namespace = self.namespace, None
        if namespace is not None:
            namespace.close()
        for group in groups:
            cgroup.remove(group)

    def _exit_code(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    # --- what happens on it ------------------------------------------------------------------------------------

    def words(self, *words: str) -> list[str]:
        """Words of a command that runs another as root on the host: with every capability, and in no unit."""
        assert self._leader, f"{self.name} is not up"
        environ = [f"{name}={value}" for name, value in _INSIDE.items()]
        inside = ("-m", "-u", "-i", "-n", "-p", "-C", "--root", "--wd")
        return ["nsenter", "-t", str(self._leader), *inside, "env", "-i", *environ, *words]

    def run(
        self, *words: str, check: bool = True, stdin: str | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on it to its end. Raises HarnessError when it fails and ``check`` is set."""
        return command(*self.words(*words), check=check, stdin=stdin, timeout=timeout)

    def shell(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run a shell script on it; gives what it prints."""
        return self.run("sh", "-ec", script, check=check, timeout=timeout).stdout

    def run_unit(
        self, *words: str, check: bool = True, properties: Sequence[str] = (), timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a unit of the host: in a control group and with the capabilities of a service."""
        options = [f"--property={text}" for text in properties]
        return self.run(
            "systemd-run", "--quiet", "--wait", "--pipe", "--collect", *options, "--", *words,
            check=check, timeout=timeout,
        )  # fmt: skip

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file on the host, whether it is up or not."""
        if self._process is not None:
            self.run("install", "-D", f"-m{mode:o}", "/dev/stdin", path, stdin=text)
            return
        file = self.upper / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def enable(self, unit: str, target: str = "multi-user.target") -> None:
        """Have a unit started at every boot; before the first one only."""
        assert self._process is None
        wants = self.upper / "etc/systemd/system" / f"{target}.wants"
        wants.mkdir(parents=True, exist_ok=True)
        own = self.upper / "etc/systemd/system" / unit
        (wants / unit).symlink_to(
            f"/etc/systemd/system/{unit}" if own.exists() else f"/lib/systemd/system/{unit}"
        )

    def put(self, file: Path, path: str) -> None:
        """Copy a file of the machine's onto the running host."""
        with file.open("rb") as source:
            done = subprocess.run(
                self.words("install", "-D", "-m644", "/dev/stdin", path),
                stdin=source, capture_output=True, text=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
        if done.returncode != 0:
            raise HarnessError(f"{file} cannot be put on {self.name}: {done.stderr}")

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl; gives what it prints, without the last newline."""
        return self.run("systemctl", *words, check=check).stdout.rstrip("\n")

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Give properties of a unit."""
        lines = self.systemctl("show", unit, *(f"--property={name}" for name in properties)).splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def wait_for(self, what: Callable[[], Any], describe: str, patience: float = PATIENCE) -> Any:
        """Wait until something is true, and give it. Raises AssertionError with the host's last words otherwise."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if value := what():
                return value
            time.sleep(0.02)
        raise AssertionError(f"never happened on {self.name}: {describe}\n{self.last_words()}")

    def last_words(self) -> str:
        """Say what a failed test needs: units that failed, and the end of the journal."""
        if self._process is None:
            return self.console()[-1500:]
        failed = self.systemctl("list-units", "--failed", "--plain", "--no-legend", check=False)
        journal = self.run("journalctl", "--no-pager", "-n", "40", check=False).stdout
        return f"failed units: {failed or 'none'}\n{journal}"

    def console(self) -> str:
        """Give what its console showed, of every boot."""
        log = self.folder / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""


def _children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

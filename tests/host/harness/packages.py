"""The portguard packages under test, and the same ones under another version number."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from host.harness.held import ROOT, HarnessError, command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from host.harness.host import Host

DEB = ROOT / "build" / "deb"
TESTS = ROOT / "packaging" / "deb" / "tests"


def built(version: int) -> Path:
    """Find the package for Debian 12 or 13. Raises HarnessError when ``make deb`` has not left exactly one."""
    number = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert number is not None
    name = {12: f"portguard_{number[1]}~deb12_amd64.deb", 13: f"portguard_{number[1]}_all.deb"}[version]
    if not (DEB / name).exists():
        raise HarnessError(f"there is no {DEB / name}: sudo make deb")
    return DEB / name


def version_of(package: Path) -> str:
    """Give the version of a package."""
    return command("dpkg-deb", "--field", str(package), "Version").stdout.strip()


def as_version(package: Path, version: str, folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Pack the same files once more as another version, for an upgrade; ``changes`` are files that it has otherwise."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tree = Path(scratch) / "tree"
        command("dpkg-deb", "--raw-extract", str(package), str(tree))
        control = tree / "DEBIAN" / "control"
        control.write_text(
            re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE)
        )
        for path, text in (changes or {}).items():
            (tree / path.lstrip("/")).write_text(text)
        made = folder / f"portguard_{version}.deb"
        command("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made))
    return made


def install(host: Host, package: Path, *options: str) -> str:
    """Install a package as an administrator does, from a file; gives what apt says. Raises HarnessError when apt fails.

    What it depends on comes from the host's depot: apt has no network and needs none.
    """
    host.put(package, f"/root/{package.name}")
    host.run("apt-get", "-qq", "update")
    words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt", "install", "--yes", *options]
    done = host.run(*words, f"/root/{package.name}", timeout=120)
    return done.stdout + done.stderr

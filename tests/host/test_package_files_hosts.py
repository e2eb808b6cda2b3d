"""The packages as files: what is in them, what they need, and that the same commit gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from host.harness import packages
from host.harness.held import ROOT, command

if TYPE_CHECKING:
    from pathlib import Path

RELEASES = {12: "bookworm", 13: "trixie"}
VENDOR = "/usr/lib/portguard/vendor/"
EACH = pytest.mark.parametrize("version", RELEASES, ids=["debian12", "debian13"])
ON_12 = pytest.mark.parametrize("version", [12], ids=["debian12"])
ON_13 = pytest.mark.parametrize("version", [13], ids=["debian13"])
"""Which release a test is about stands in its name: the releases are run side by side."""
PINS = ROOT / "packaging" / "deb12" / "vendor.txt"


@cache
def files(version: int) -> dict[str, str]:
    """Every file of a package, with its mode and owner."""
    listing = command("dpkg-deb", "--contents", str(packages.built(version))).stdout
    rows = (line.split(maxsplit=5) for line in listing.splitlines())
    return {row[5].split(" -> ")[0].removeprefix("."): f"{row[0]} {row[1]}" for row in rows}


def depends(version: int) -> str:
    return command("dpkg-deb", "--field", str(packages.built(version)), "Depends").stdout


@EACH
def test_everything_that_is_promised_is_in_it(version: int) -> None:
    # The manual is compressed, and Debian 12 still has a /lib that is not below /usr.
    found = {re.sub(r"^/lib/", "/usr/lib/", path.removesuffix(".gz")) for path in files(version)}
    assert found >= {
        "/usr/bin/portguard",
        "/usr/libexec/portguard/trace-setup",
        "/usr/lib/systemd/system/portguard.service",
        "/usr/lib/systemd/system/portguard-boot.service",
        "/usr/lib/systemd/catalog/portguard.catalog",
        "/usr/lib/sysusers.d/portguard.conf",
        "/usr/share/bash-completion/completions/portguard",
        "/usr/share/man/man8/portguard.8",
        "/usr/share/man/man5/portguard.toml.5",
        "/usr/share/man/man7/portguard-events.7",
        "/usr/share/doc/portguard/operations.md",
        "/etc/apparmor.d/portguard",
        "/etc/portguard/portguard.toml",
        "/etc/portguard/conf.d/",
        "/etc/portguard/catalogue.d/",
    }


@EACH
def test_nothing_in_it_is_anybodys_but_roots_and_nothing_can_be_written_by_others(version: int) -> None:
    for path, mode in files(version).items():
        assert mode.endswith(" root/root"), path
        assert mode.startswith("l") or re.match(r"[d-]rw[x-]r-[x-]r-[x-] ", mode), (path, mode)


@ON_13
def test_debian_13_uses_its_own_libraries(version: int) -> None:
    assert not [path for path in files(version) if path.startswith("/usr/lib/portguard/")]
    for name in ("pydantic", "pydantic-settings", "psutil", "rich", "watchdog", "nftables", "systemd"):
        assert f"python3-{name}" in depends(version)


@ON_12
def test_debian_12_brings_what_it_lacks_and_nothing_that_it_has(version: int) -> None:
    brought = {
        path.removeprefix(VENDOR).split("/")[0] for path in files(version) if path.startswith(VENDOR)
    } - {""}

    assert brought == {
        "annotated_types", "dotenv", "pydantic", "pydantic_core", "pydantic_settings", "typing_extensions.py",
        "typing_inspection",
    }  # fmt: skip
    for name in ("psutil", "rich", "watchdog", "nftables", "systemd"):
        assert f"python3-{name}" in depends(version)
    assert "pydantic" not in depends(version)
    # Compiled for one Python: apt must not let it stay when that goes.
    assert "python3 (<< 3.12)" in depends(version)


@ON_12
def test_what_debian_12_brings_is_pinned_to_what_the_tests_run_with(version: int) -> None:  # noqa: ARG001 - in its name
    pins = re.findall(r"^([\w-]+)==(\S+) --hash=sha256:[0-9a-f]{64}$", PINS.read_text(), re.MULTILINE)
    lines = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(pins) == len(lines)
    versions = (ROOT / "scripts" / "versions.txt").read_text().replace("_", "-").lower().splitlines()
    for name, pinned in pins:
        assert f"{name}=={pinned}" in versions


def licences(version: int) -> str:
    script = 'dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/share/doc/portguard/copyright'
    return command("sh", "-ec", script, "sh", str(packages.built(version))).stdout


@EACH
def test_every_library_that_is_brought_has_its_licence_named(version: int) -> None:
    named = set(re.findall(r"^Files: debian/vendor/([\w.]+)", licences(version), re.MULTILINE))
    brought = {path.removeprefix(VENDOR).split("/")[0] for path in files(version) if path.startswith(VENDOR)}
    assert named == brought - {""}


@EACH
def test_every_licence_that_is_named_has_its_text(version: int) -> None:
    text = licences(version)
    named = {
        name
        for line in re.findall(r"^License: (.*)$", text, re.MULTILINE)
        for name in line.replace(",", " and").split(" and ")
    }
    with_text = set(re.findall(r"^License: (\S+)\n \S", text, re.MULTILINE))
    assert named == with_text


@ON_12
def test_what_the_compiled_library_is_linked_from_is_named_with_licences(version: int) -> None:
    text = licences(version)
    for path in files(version):
        if path.startswith(VENDOR) and path.endswith(".so"):
            module = path.removeprefix(VENDOR).split("/")[0]
            found = re.search(rf"^Files: debian/vendor/{module}/\*\.so\n(?:.+\n)*", text, re.MULTILINE)
            assert found is not None, path
            # A compiled Python module of Rust that links no PyO3 would be none.
            crates = dict(re.findall(r"^  ([\w-]+) \d\S*: (.+)$", found[0], re.MULTILINE))
            assert crates["pyo3"].startswith("MIT OR Apache-2.0"), path


@EACH
def test_the_same_commit_gives_the_same_bytes(version: int, tmp_path: Path) -> None:
    """It is built once more, in another directory and at another time."""
    name = RELEASES[version]
    _, commit = (ROOT / "build" / "deb" / f".made-from-{name}").read_text().split()
    subprocess.run(
        [ROOT / "packaging" / "build", name],
        env={**os.environ, "COMMIT": commit, "OUT": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    first = packages.built(version)
    again = tmp_path / first.name

    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()

"""A configuration crosses from the child to the daemon unchanged, and pydantic stays behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portguard.config import isolated, load_isolated, wire
from portguard.errors import ConfigError, Fault, PortguardError
from portguard.model.config import Config, Extra, Failsafe, Intervals
from portguard.model.net import AddressSet, PortRange, Transport
from portguard.model.paths import Paths
from portguard.model.policy import HealLimits, Manager, Mode

SITE = Path(__file__).with_name("site.toml")

PORTS = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(
    lambda pair: PortRange(min(pair), max(pair))
)
NETWORKS = st.one_of(
    st.ip_addresses(v=4).flatmap(lambda ip: st.sampled_from([f"{ip}/32", "10.0.0.0/8", "0.0.0.0/0"])),
    st.ip_addresses(v=6).flatmap(lambda ip: st.sampled_from([f"{ip}/128", "2001:db8::/32", "::/0"])),
)
SETS = st.lists(NETWORKS, max_size=4).map(lambda nets: AddressSet.of(*nets))
TEXTS = st.text(max_size=8)
SECONDS = st.floats(min_value=0, max_value=1e9)
PATHS = st.text("ab/.é", max_size=8).map(lambda text: Path(f"/{text}"))


def _any(cls: type, fields: dict[str, st.SearchStrategy[object]]) -> st.SearchStrategy[object]:
    """Build instances with every field drawn; a field that the test does not know fails it."""
    assert {field.name for field in dataclasses.fields(cls)} == set(fields), (
        f"a field of {cls.__name__} is untested"
    )
    return st.builds(cls, **fields)


CONFIGS = _any(
    Config,
    {
        "roles": st.lists(TEXTS, max_size=3).map(tuple),
        "mode": st.sampled_from(Mode),
        "manager": st.none() | st.sampled_from(Manager),
        "features": st.lists(TEXTS, max_size=3).map(tuple),
        "zones": st.dictionaries(TEXTS, SETS, max_size=3),
        "hosts": st.dictionaries(TEXTS, SETS, max_size=3),
        "settings": st.dictionaries(TEXTS, PORTS, max_size=3),
        "failsafe": st.lists(
            _any(Failsafe, {"transport": st.sampled_from(Transport), "ports": PORTS, "zone": TEXTS}),
            max_size=3,
        ).map(tuple),
        "extra": st.lists(
            _any(
                Extra,
                {
                    "transport": st.sampled_from(Transport),
                    "ports": PORTS,
                    "zone": TEXTS,
                    "unit": st.none() | TEXTS,
                    "reason": TEXTS,
                },
            ),
            max_size=3,
        ).map(tuple),
        "reserved": st.lists(SETS.flatmap(lambda found: st.just(tuple(found.networks()))), max_size=2).map(
            lambda rows: tuple(net for row in rows for net in row)
        ),
        "reserved_interfaces": st.lists(TEXTS, max_size=3).map(tuple),
        "limits": _any(
            HealLimits,
            {
                "max_heals": st.integers(1, 99),
                "window": SECONDS,
                "retry_first": SECONDS,
                "retry_max": SECONDS,
                "settle": SECONDS,
                "writer_burst": st.integers(1, 99),
                "writer_interval": SECONDS,
            },
        ),
        "intervals": _any(Intervals, {"listeners": SECONDS, "full": SECONDS, "heartbeat": SECONDS}),
        "listener_grace": SECONDS,
        "confirm_within": SECONDS,
        "paths": _any(Paths, {"status": PATHS, "state": PATHS, "catalogue": PATHS, "trace": PATHS}),
        "files": st.lists(PATHS, max_size=3).map(tuple),
        "digest": TEXTS,
    },
)


@settings(max_examples=200, deadline=None)
@given(CONFIGS)
def test_the_round_trip_is_exact(config: Config) -> None:
    assert wire.parse(wire.dump(config)) == config


def test_faults_arrive_as_they_were_sent() -> None:
    faults = (
        Fault(file="a.toml", line=3, path="zones.x[1]", message="is 'wrong'"),
        Fault(file="environment", path="", message="\udcff"),
    )
    with pytest.raises(ConfigError) as caught:
        wire.parse(wire.dump_faults(faults))
    assert caught.value.faults == faults


def test_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema 2 is not 1"):
        wire.parse(json.dumps({"schema": 2, "config": {}}))


class TestChild:
    """The real child process, with the shipped catalogue."""

    def test_a_valid_configuration_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORTGUARD_MODE", "contain")
        config = load_isolated(SITE)
        assert config.mode is Mode.CONTAIN, "the environment takes part"
        assert config.zones["workstations"] == AddressSet.of("10.1.0.0/16", "2001:db8:1::/48")
        assert config.files == (SITE,)

    def test_every_fault_comes_back(self, tmp_path: Path) -> None:
        path = tmp_path / "portguard.toml"
        path.write_text('role = "printum/al-in-one"\nmode = "heel"\n')
        with pytest.raises(ConfigError) as caught:
            load_isolated(path)
        assert [(fault.file, fault.line, fault.path) for fault in caught.value.faults] == [
            (str(path), 1, "role"),
            (str(path), 2, "mode"),
        ]

    def test_the_administrators_own_catalogue_takes_part(self, tmp_path: Path) -> None:
        folder = tmp_path / "catalogue.d"
        folder.mkdir()
        (folder / "own.toml").write_text('schema = 1\n[zones]\nkiosks = "Kiosks"\n')
        path = tmp_path / "portguard.toml"
        path.write_text(
            f'role = "printum/portal"\n[zones]\nkiosks = ["10.7.0.1"]\n[paths]\ncatalogue = "{folder}"\n'
        )
        assert load_isolated(path).zones == {"kiosks": AddressSet.of("10.7.0.1")}

    def test_a_broken_catalogue_file_is_reported_beside_the_rest(self, tmp_path: Path) -> None:
        """Names that it may define are not called unknown."""
        folder = tmp_path / "catalogue.d"
        folder.mkdir()
        (folder / "own.toml").write_text("schema = 1\nzones\n")
        path = tmp_path / "portguard.toml"
        path.write_text(
            f'role = "own/server"\nmode = "heel"\n[zones]\nkiosks = ["10.7.0.1"]\n[paths]\ncatalogue = "{folder}"\n'
        )
        with pytest.raises(ConfigError) as caught:
            load_isolated(path)
        assert [(fault.file, fault.line, fault.path) for fault in caught.value.faults] == [
            (str(path), 2, "mode"),
            (str(folder / "own.toml"), 2, ""),
        ]

    def test_a_name_that_looks_like_an_option_is_a_file(self) -> None:
        with pytest.raises(ConfigError, match=r"^--help: does not exist"):
            load_isolated(Path("--help"))

    def test_a_module_in_the_current_directory_is_not_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pydantic.py").write_text("raise SystemExit('hijacked')\n")
        monkeypatch.chdir(tmp_path)
        assert load_isolated(SITE).roles == ("printum/printmanager", "printum/redis-sentinel")

    def test_a_configuration_that_never_ends_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(isolated, "PATIENCE", 1.0)
        pipe = tmp_path / "portguard.toml"
        os.mkfifo(pipe)
        with pytest.raises(PortguardError, match=r"portguard.toml: could not be read within 1 s$"):
            load_isolated(pipe)

    def test_a_child_that_is_killed_is_not_an_empty_configuration(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(_script(tmp_path, f"kill -{signal.SIGKILL.value} $$")))
        with pytest.raises(
            PortguardError, match=r"site.toml: the process that reads it ended with signal 9$"
        ):
            load_isolated(SITE)

    def test_a_child_that_fails_says_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script = _script(tmp_path, "echo Traceback >&2; echo 'ModuleNotFoundError: no pydantic' >&2; exit 1")
        monkeypatch.setattr(sys, "executable", str(script))
        with pytest.raises(
            PortguardError, match=r"ended with exit code 1: ModuleNotFoundError: no pydantic$"
        ):
            load_isolated(SITE)

    def test_no_interpreter_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
        with pytest.raises(
            PortguardError, match=r"cannot start .*/gone to read it: No such file or directory$"
        ):
            load_isolated(SITE)


def test_the_parent_never_imports_pydantic() -> None:
    """Neither by importing the package nor by loading a configuration."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from portguard.config import load_isolated\n"
        f"config = load_isolated(Path({str(SITE)!r}))\n"
        "assert config.roles, config\n"
        "print([name for name in sys.modules if name.partition('.')[0].startswith('pydantic')])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


@pytest.mark.parametrize(("text", "code", "said"), [("valid", 0, "valid"), ("broken", 78, "is not TOML")])
def test_the_module_is_a_command_for_people_too(tmp_path: Path, text: str, code: int, said: str) -> None:
    path = tmp_path / "portguard.toml"
    path.write_text('role = "printum/portal"\n' if text == "valid" else "broken")
    command = [sys.executable, "-m", "portguard.config", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert ran.stdout.startswith(str(path))
    assert said in ran.stdout
    assert ran.stdout.count("\n") == 1


def _script(folder: Path, body: str) -> Path:
    path = folder / "interpreter"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path

"""Reading, merging and validating a configuration: what it becomes, and every word said about what is wrong."""

from __future__ import annotations

import hashlib
import ipaddress
from pathlib import Path

import pytest
from config_site import Site

from portguard.catalogue.load import load as load_catalogue
from portguard.config import load
from portguard.model.config import Config, Extra, Failsafe, Intervals
from portguard.model.net import AddressSet, PortRange, Transport
from portguard.model.paths import Paths
from portguard.model.policy import HealLimits, Manager, Mode

ROLE = 'role = "acme/all"\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give the test an empty folder for its configuration."""
    return Site(tmp_path)


def test_a_role_alone_is_a_configuration(site: Site) -> None:
    """Everything else has the default that the model states."""
    config = site.load(ROLE)
    assert config == Config(roles=("acme/all",), files=(site.file,), digest=config.digest)


def test_the_documented_example_becomes_what_it_says() -> None:
    path = Path(__file__).with_name("site.toml")
    config = load(path, load_catalogue(), {})
    assert config == Config(
        roles=("printum/printmanager", "printum/redis-sentinel"),
        mode=Mode.HEAL,
        manager=None,
        features=("syslog", "directory"),
        zones={
            "workstations": AddressSet.of("10.1.0.0/16", "2001:db8:1::/48"),
            "printers": AddressSet.of("10.2.0.0/16"),
            "admins": AddressSet.of("10.9.0.0/24"),
        },
        hosts={"printum/monitoring": AddressSet.of("10.0.0.11")},
        settings={"printum.directoryPort": PortRange(636, 636)},
        failsafe=(Failsafe(transport=Transport.TCP, ports=PortRange(22, 22), zone="admins"),),
        extra=(
            Extra(
                transport=Transport.TCP,
                ports=PortRange(9100, 9100),
                zone="admins",
                unit="prometheus-node-exporter.service",
                reason="monitoring agent",
            ),
        ),
        reserved=(ipaddress.ip_network("10.28.32.0/26"),),
        reserved_interfaces=("br-printum*",),
        files=(path,),
        digest=config.digest,
    )


def test_every_other_key_reaches_the_configuration(site: Site) -> None:
    config = site.load(
        ROLE
        + """
        manager = "firewalld"
        features = ["embedded-terminal:ricoh"]
        [settings]
        "acme.webdavPort" = "5610-5612"
        [heal]
        max_heals = 5
        window = "20m"
        retry_first = 30
        retry_max = "1h 30m"
        settle = "250ms"
        writer_burst = 7
        writer_interval = 2.5
        [intervals]
        listeners = 0.5
        full = "5m"
        heartbeat = "1d"
        [listener]
        grace = "90"
        [paths]
        status = "/tmp/s.json"
        state = "/tmp/state"
        catalogue = "/tmp/catalogue.d"
        """.replace("        ", "")
    )
    assert config.manager is Manager.FIREWALLD
    assert config.features == ("embedded-terminal:ricoh",)
    assert config.settings == {"acme.webdavPort": PortRange(5610, 5612)}
    assert config.limits == HealLimits(
        max_heals=5,
        window=1200.0,
        retry_first=30.0,
        retry_max=5400.0,
        settle=0.25,
        writer_burst=7,
        writer_interval=2.5,
    )
    assert config.intervals == Intervals(listeners=0.5, full=300.0, heartbeat=86400.0)
    assert config.listener_grace == 90.0
    assert config.paths == Paths(
        status=Path("/tmp/s.json"), state=Path("/tmp/state"), catalogue=Path("/tmp/catalogue.d")
    )


class TestLayers:
    """portguard.toml, then conf.d by name, then the environment."""

    def test_tables_merge_and_lists_and_scalars_replace(self, site: Site) -> None:
        site.write(
            ROLE
            + 'mode = "heal"\n[zones]\nprinters = ["10.2.0.0/16", "10.3.0.0/16"]\nadmins = ["10.9.0.1"]\n'
        )
        site.add("20.toml", '[zones]\nprinters = ["10.5.0.0/16"]\n')
        site.add("10.toml", 'mode = "contain"\n[zones]\nprinters = ["10.4.0.0/16"]\nworkstations = []\n')
        config = site.load()
        assert config.mode is Mode.CONTAIN
        assert config.zones == {
            "printers": AddressSet.of("10.5.0.0/16"),
            "admins": AddressSet.of("10.9.0.1"),
            "workstations": AddressSet(),
        }
        assert config.files == (site.file, site.confd / "10.toml", site.confd / "20.toml")

    def test_only_visible_toml_files_of_conf_d_count(self, site: Site) -> None:
        site.write(ROLE)
        for name in (".#10.toml", "10.toml~", "10.toml.dpkg-new", "README"):
            site.add(name, "this is no TOML")
        assert site.load().files == (site.file,)

    def test_the_environment_has_the_last_word(self, site: Site) -> None:
        config = site.load(
            ROLE + 'mode = "heal"\n[zones]\nprinters = ["10.2.0.0/16"]\n[paths]\nstate = "/a"\n',
            {
                "PORTGUARD_MODE": "enforce",
                "PORTGUARD_PATHS__STATUS": "/x",
                "PORTGUARD_HEAL__MAX_HEALS": "9",
                "PORTGUARD_HEAL__WINDOW": "10m",
                "PORTGUARD_ZONES__PRINTERS": '["10.7.0.0/16"]',
                "PORTGUARD_ZONES": '{"admins": ["10.9.0.1"]}',
                "PORTGUARD_SETTINGS": '{"acme.webdavPort": 81}',
                "PORTGUARD_EXTRA": '[{"transport": "udp", "port": "5000-5001", "from": "any", "reason": "x"}]',
                "HOME": "/root",
            },
        )
        assert config.mode is Mode.ENFORCE
        assert config.paths == Paths(status=Path("/x"), state=Path("/a"))
        assert config.limits == HealLimits(max_heals=9, window=600.0)
        assert config.zones == {"printers": AddressSet.of("10.7.0.0/16"), "admins": AddressSet.of("10.9.0.1")}
        assert config.settings == {"acme.webdavPort": PortRange(81, 81)}
        assert config.extra == (
            Extra(transport=Transport.UDP, ports=PortRange(5000, 5001), zone="any", unit=None, reason="x"),
        )

    @pytest.mark.parametrize(
        ("text", "roles"),
        [("acme/web", ("acme/web",)), ('["acme/web", "acme/redis"]', ("acme/web", "acme/redis"))],
    )
    def test_a_role_in_the_environment_is_a_word_or_json(
        self, site: Site, text: str, roles: tuple[str, ...]
    ) -> None:
        assert site.load("", {"PORTGUARD_ROLE": text}).roles == roles

    def test_the_process_environment_takes_no_part(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the one that is given does, so that a test or a lab is not at the mercy of its caller."""
        monkeypatch.setenv("PORTGUARD_MODE", "enforce")
        assert site.load(ROLE).mode is Mode.OBSERVE

    def test_the_digest_changes_with_each_file_and_variable_and_nothing_else(self, site: Site) -> None:
        digests = [site.load(ROLE).digest, site.load(ROLE + "# comment\n").digest]
        site.add("10.toml", "")
        digests.append(site.load().digest)
        digests.append(site.load(environ={"PORTGUARD_MODE": "heal"}).digest)
        digests.append(site.load(environ={"PORTGUARD_MODE": "enforce"}).digest)
        assert len(set(digests)) == 5
        assert all(len(bytes.fromhex(digest)) == hashlib.sha256().digest_size for digest in digests)
        assert (
            site.load(environ={"HOME": "/x"}).digest == site.load(environ={"HOME": "/y"}).digest == digests[2]
        )


class TestFiles:
    """What cannot be read is said so, and nothing is concluded about what it may hold."""

    def test_a_missing_file_says_what_to_do(self, site: Site) -> None:
        assert site.faults() == [
            (
                "portguard.toml: does not exist; "
                "run `portguard init` or copy the example /etc/portguard/portguard.toml"
            )
        ]

    def test_a_file_without_permission(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        site.write(ROLE)

        def refuse(_: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
        assert site.faults() == ["portguard.toml: permission denied"]

    def test_a_directory_is_no_file(self, site: Site) -> None:
        site.file.mkdir()
        assert site.faults() == ["portguard.toml: is a directory"]

    def test_conf_d_that_is_no_directory(self, site: Site) -> None:
        site.confd.write_text("")
        assert site.faults(ROLE) == ["conf.d: cannot be listed: not a directory"]

    def test_text_that_is_not_utf_8(self, site: Site) -> None:
        site.file.write_bytes(b'role = "acme/all"\n# \xe4\n')
        assert site.faults() == ["portguard.toml:2: is not UTF-8: invalid continuation byte"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                ROLE + "mode heal\n",
                "portguard.toml:2: is not TOML: expected '=' after a key in a key/value pair",
            ),
            (ROLE + ROLE, "portguard.toml:2: is not TOML: cannot overwrite a value"),
            (ROLE + "mode = ", "portguard.toml:2: is not TOML: invalid value"),
            (f"a = {'9' * 5000}\n", "portguard.toml: is not TOML: Exceeds the limit"),
            (f"a = {'[' * 20000}\n", "portguard.toml: nests its lists or tables too deep"),
        ],
    )
    def test_text_that_is_not_toml(self, site: Site, text: str, said: str) -> None:
        (fault,) = site.faults(text)
        assert fault.startswith(said)

    def test_a_role_is_not_called_missing_when_a_file_could_not_be_read(self, site: Site) -> None:
        """It may stand there; so may the zones that other entries use."""
        site.write("role = [\n")
        site.add("10.toml", '[zones]\nours = ["10.1.0.1"]\n[heal]\nmax_heals = 0\n')
        assert site.faults() == [
            "portguard.toml:1: is not TOML: invalid value",
            "conf.d/10.toml:4: heal.max_heals: 0 does not lie between 1 and 1000000",
        ]

    @pytest.mark.parametrize("text", ["", "role = []\n"])
    def test_a_server_of_which_nobody_has_said_anything_is_observed(self, site: Site, text: str) -> None:
        config = site.load(text)
        assert (config.roles, config.mode) == ((), Mode.OBSERVE)

    @pytest.mark.parametrize("mode", ["heal", "contain", "enforce"])
    def test_a_mode_that_writes_needs_a_role(self, site: Site, mode: str) -> None:
        assert site.faults(f'role = []\nmode = "{mode}"\n') == [
            (
                f'portguard.toml:2: mode: {mode} needs a role, which says what this server is, e.g. role = "printum/all-in-one"; '
                "`portguard init` proposes one from what listens here"
            )
        ]


FAULTS = [
    # role, mode, manager, features
    ('role = "acme/al"', "1: role: no role 'acme/al'; did you mean acme/all, acme/web?"),
    (
        'role = ["acme/all", "acme/wep"]',
        "1: role[1]: no role 'acme/wep'; did you mean acme/web, acme/redis, acme/all?",
    ),
    ('role = ["acme/all", "acme/all"]', "1: role[1]: 'acme/all' stands twice in the list"),
    ("role = 5", "1: role: must be a list, not 5"),
    ('role = [""]', "1: role[0]: must be a text that is not empty"),
    (
        ROLE + 'mode = "heel"',
        "2: mode: 'heel' is none of observe, heal, contain, enforce; did you mean heal?",
    ),
    (ROLE + "mode = true", "2: mode: true is none of observe, heal, contain, enforce"),
    (
        ROLE + 'manager = "firewald"',
        (
            "2: manager: 'firewald' is none of auto, portguard, nftables, firewalld, ufw, iptables; "
            "did you mean firewalld?"
        ),
    ),
    (
        ROLE + 'manager = "unknown"',
        "2: manager: 'unknown' is none of auto, portguard, nftables, firewalld, ufw, iptables",
    ),
    (
        ROLE + 'features = ["embedded-terminal:rico"]',
        "2: features[0]: no documented feature 'embedded-terminal:rico'; did you mean embedded-terminal:ricoh?",
    ),
    # keys
    (ROLE + 'modus = "heal"', "2: modus: is not a key of this file; did you mean mode?"),
    (ROLE + "[heal]\nmax_heal = 3", "3: heal.max_heal: is not a key of [heal]; did you mean max_heals?"),
    (
        ROLE + '[paths]\nmode = "heal"',
        "3: paths.mode: belongs to the top of the file, above the first [table]",
    ),
    (
        ROLE + '[zones]\nmode = "heal"',
        "3: zones.mode: belongs to the top of the file, above the first [table]",
    ),
    (ROLE + "heal = 3", "2: heal: must be a table, not 3"),
    (ROLE + "zones = 3", "2: zones: must be a table, not 3"),
    (ROLE + "extra = 3", "2: extra: must be a list of tables, not 3"),
    (ROLE + "[extra]\nport = 1", "2: extra: must be written as [[extra]]"),
    # zones and hosts
    (ROLE + '[zones]\nprinters = "10.2.0.0/16"', "3: zones.printers: must be a list, not '10.2.0.0/16'"),
    (
        ROLE + "[zones]\nprinters = [10]",
        '3: zones.printers[0]: 10 is not a network: write it as text, such as "10.1.0.0/16"',
    ),
    (
        ROLE + '[zones]\nprinters = [\n  "10.2.0.0/16",\n  "10.300.0.0/16",\n]',
        "5: zones.printers[1]: '10.300.0.0/16' is neither an address nor a network such as 10.1.0.0/16",
    ),
    (
        ROLE + '[zones]\nprinters = ["10.2.0.1/16"]',
        (
            "3: zones.printers[0]: 10.2.0.1/16 has host bits set: the network is 10.2.0.0/16, "
            "the single address 10.2.0.1"
        ),
    ),
    (
        ROLE + '[zones]\nprinters = ["::ffff:10.2.0.0/112"]',
        "3: zones.printers[0]: ::ffff:10.2.0.0/112 is IPv4 written as IPv6: write 10.2.0.0/16",
    ),
    (
        ROLE + '[zones]\nprinters = ["fe80::1%eth0"]',
        "3: zones.printers[0]: 'fe80::1%eth0' names an interface: write the address alone",
    ),
    (
        ROLE + '[zones]\nprinters = ["10.2.7.0/24", "10.1.0.0/16", "10.2.0.0/16"]',
        "3: zones.printers[2]: 10.2.0.0/16 overlaps 10.2.7.0/24, entry [0] of the list",
    ),
    (
        ROLE + '[zones]\nprinters = ["2001:db8::1", "2001:db8::1"]',
        "3: zones.printers[1]: 2001:db8::1 overlaps 2001:db8::1, entry [0] of the list",
    ),
    (
        ROLE + '[zones]\nprinters = ["10.2.0.0/16", "10.28.32.0/27"]',
        "3: zones.printers[1]: 10.28.32.0/27 lies in the reserved range 10.28.32.0/26 (acme)",
    ),
    (
        ROLE + '[zones]\nprinters = ["10.28.32.0/26"]',
        "3: zones.printers[0]: 10.28.32.0/26 lies in the reserved range 10.28.32.0/26 (acme)",
    ),
    (
        ROLE + '[zones]\nprinters = ["192.0.2.7"]\n[reserved]\nranges = ["192.0.2.0/28"]',
        "3: zones.printers[0]: 192.0.2.7 lies in the reserved range 192.0.2.0/28 (reserved.ranges)",
    ),
    (ROLE + "[zones]\nprnters = []", "3: zones.prnters: no zone 'prnters'; did you mean printers?"),
    (ROLE + "[zones]\nany = []", "3: zones.any: 'any' stands for every address and cannot be defined"),
    (
        ROLE + '[zones]\n"acme/web" = []',
        "3: zones.\"acme/web\": 'acme/web' is a component: give its servers in [hosts]",
    ),
    (
        ROLE + '[hosts]\n"acme/rediss" = ["10.0.0.1"]',
        "3: hosts.\"acme/rediss\": no component 'acme/rediss'; did you mean acme/redis, acme/web?",
    ),
    (
        ROLE + '[hosts]\n"acme/redis" = ["10.28.32.5"]',
        '3: hosts."acme/redis"[0]: 10.28.32.5 lies in the reserved range 10.28.32.0/26 (acme)',
    ),
    # settings and ports
    (
        ROLE + '[settings]\n"acme.webDavPort" = 5610',
        "3: settings.\"acme.webDavPort\": no setting 'acme.webDavPort'; did you mean acme.webdavPort?",
    ),
    (
        ROLE + '[settings]\n"acme.webdavPort" = 70000',
        '3: settings."acme.webdavPort": port 70000 does not lie between 1 and 65535',
    ),
    (
        ROLE + '[settings]\n"acme.webdavPort" = 0',
        '3: settings."acme.webdavPort": port 0 does not lie between 1 and 65535',
    ),
    (
        ROLE + '[settings]\n"acme.webdavPort" = "21-20"',
        '3: settings."acme.webdavPort": range 21-20 runs backwards',
    ),
    (
        ROLE + '[settings]\n"acme.webdavPort" = "20-"',
        "3: settings.\"acme.webdavPort\": '20-' is neither a port nor a range of ports such as 20-21",
    ),
    (
        ROLE + '[settings]\n"acme.webdavPort" = true',
        '3: settings."acme.webdavPort": true is neither a port nor a range of ports such as 20-21',
    ),
    # failsafe and extra
    (
        ROLE + '[failsafe]\ninbound = [{ transport = "tcp", port = 0, from = "admins" }]',
        "3: failsafe.inbound[0].port: port 0 does not lie between 1 and 65535",
    ),
    (
        ROLE + '[failsafe]\ninbound = [{ transport = "icmp", port = 22, from = "admins" }]',
        "3: failsafe.inbound[0].transport: 'icmp' is none of tcp, udp",
    ),
    (
        ROLE + '[failsafe]\ninbound = [{ transport = "tcp", port = 22, from = "admin" }]',
        "3: failsafe.inbound[0].from: no zone or component 'admin'; did you mean admins?",
    ),
    (ROLE + "[failsafe]\ninbound = [22]", "3: failsafe.inbound[0]: must be a table, not 22"),
    (
        ROLE + '[[extra]]\ntransport = "tcp"\nport = 80\nfrom = "any"',
        "2: extra[0].reason: is missing",
    ),
    (
        ROLE + '[[extra]]\ntransport = "tcp"\nport = 80\nfrom = "any"\nreason = " "',
        "6: extra[0].reason: must be a text that is not empty",
    ),
    (
        ROLE + '[[extra]]\ntransport = "tcp"\nport = 80\nfrom = "any"\nreason = "a\\nb"',
        "6: extra[0].reason: 'a\\nb' has control characters",
    ),
    (
        ROLE + '[[extra]]\ntransport = "tcp"\nport = 80\nfrom = "any"\nreason = "x"\nunit = "nginx"',
        "7: extra[0].unit: 'nginx' is not the full name of a unit, such as prometheus-node-exporter.service",
    ),
    # reserved
    (
        ROLE + '[reserved]\nranges = ["10.0.0.0/24", "10.0.0.0/25"]',
        "3: reserved.ranges[1]: 10.0.0.0/25 overlaps 10.0.0.0/24, entry [0] of the list",
    ),
    (
        ROLE + '[reserved]\nallow_interfaces = ["br 0"]',
        "3: reserved.allow_interfaces[0]: 'br 0' is not a pattern of interface names, such as br-printum*",
    ),
    # numbers, durations, paths
    (ROLE + "[heal]\nmax_heals = 0", "3: heal.max_heals: 0 does not lie between 1 and 1000000"),
    (ROLE + "[heal]\nmax_heals = true", "3: heal.max_heals: true is not a whole number"),
    (ROLE + "[heal]\nwriter_burst = 2.5", "3: heal.writer_burst: 2.5 is not a whole number"),
    (
        ROLE + '[heal]\nwindow = "soon"',
        '3: heal.window: \'soon\' is not a duration: write seconds, or a text such as "10m" or "1h 30m"',
    ),
    (
        ROLE + "[heal]\nwindow = nan",
        '3: heal.window: nan is not a duration: write seconds, or a text such as "10m" or "1h 30m"',
    ),
    (ROLE + "[intervals]\nlisteners = 0", "3: intervals.listeners: 0 does not lie between 0.05 s and 30 d"),
    (ROLE + '[intervals]\nfull = "31d"', "3: intervals.full: '31d' does not lie between 0.05 s and 30 d"),
    (ROLE + "[heal]\nsettle = -1", "3: heal.settle: -1 does not lie between 0 s and 30 d"),
    (ROLE + '[heal]\nretry_first = "1h"', "2: heal.retry_max: 900 s is shorter than retry_first, 3600 s"),
    (ROLE + '[paths]\nstatus = "run/s.json"', "3: paths.status: 'run/s.json' is not an absolute path"),
]


@pytest.mark.parametrize(
    ("text", "said"), FAULTS, ids=[said.partition(":")[2].strip()[:60] for _, said in FAULTS]
)
def test_one_fault_has_one_line_that_says_where_and_what(site: Site, text: str, said: str) -> None:
    assert site.faults(text) == [f"portguard.toml:{said}"]


def test_every_fault_of_every_source_comes_at_once_in_order(site: Site) -> None:
    site.write('mode = "heel"\nrole = "acme/al"\n[zones]\nprnters = [5]\n[heal]\nwindow = -1\n')
    site.add("10-x.toml", '# site\n[heal]\nwindow = "x"\n[hosts]\n"acme/web" = ["10.0.0.1/8"]\n')
    site.add("20-x.toml", "broken")
    assert site.faults(environ={"PORTGUARD_MOED": "x", "PORTGUARD_HEAL__SETTLE": "x"}) == [
        "portguard.toml:1: mode: 'heel' is none of observe, heal, contain, enforce; did you mean heal?",
        'portguard.toml:4: zones.prnters[0]: 5 is not a network: write it as text, such as "10.1.0.0/16"',
        (
            "conf.d/10-x.toml:3: heal.window: 'x' is not a duration: write seconds, or a text such as \"10m\" "
            'or "1h 30m"'
        ),
        (
            'conf.d/10-x.toml:5: hosts."acme/web"[0]: 10.0.0.1/8 has host bits set: the network is 10.0.0.0/8, '
            "the single address 10.0.0.1"
        ),
        "conf.d/20-x.toml:1: is not TOML: expected '=' after a key in a key/value pair",
        "environment: PORTGUARD_MOED: sets nothing that portguard knows; did you mean MODE?",
        (
            "environment: PORTGUARD_HEAL__SETTLE: 'x' is not a duration: write seconds, or a text such as "
            '"10m" or "1h 30m"'
        ),
    ], "names of zones and roles are not judged while a file is broken"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORTGUARD_MODE", "heel", "PORTGUARD_MODE: 'heel' is none of observe, heal, contain, enforce; did you mean heal?"),
        ("PORTGUARD_ROLE", "acme/al", "PORTGUARD_ROLE: no role 'acme/al'; did you mean acme/all, acme/web?"),
        ("PORTGUARD_ROLE", '["acme/all", "x"]', "PORTGUARD_ROLE[1]: no role 'x'"),
        ("PORTGUARD_FEATURES", "x", "PORTGUARD_FEATURES: must be a list, not 'x'"),
        ("PORTGUARD_ZONES", '{"printers": [5]}', 'PORTGUARD_ZONES.printers[0]: 5 is not a network: write it as text, such as "10.1.0.0/16"'),
        ("PORTGUARD_ZONES", '{"printers"', "PORTGUARD_ZONES: must be a table, not '{\"printers\"'"),
        ("PORTGUARD_ZONES__PRINTERS", "10.0.0.1", "PORTGUARD_ZONES__PRINTERS: must be a list, not '10.0.0.1'"),
        ("PORTGUARD_PATHS", "x", "PORTGUARD_PATHS: must be a table, not 'x'"),
        ("PORTGUARD_PATHS__STATE", "x", "PORTGUARD_PATHS__STATE: 'x' is not an absolute path"),
        ("PORTGUARD_PATHS__STATES", "/x", "PORTGUARD_PATHS__STATES: is not a key of [paths]; did you mean state, status?"),
        ("PORTGUARD_PATH__STATE", "/x", "PORTGUARD_PATH__STATE: sets nothing that portguard knows; did you mean PATHS?"),
    ],
)  # fmt: skip
def test_a_fault_in_the_environment_names_the_variable(site: Site, name: str, value: str, said: str) -> None:
    assert site.faults(ROLE, {name: value}) == [f"environment: {said}"]


def test_a_network_that_is_wider_than_the_reserved_range_is_accepted(site: Site) -> None:
    """A site whose network is 10.0.0.0/8 says so; what is reserved in it is told apart later."""
    assert site.load(ROLE + '[zones]\nprinters = ["10.0.0.0/8"]').zones == {
        "printers": AddressSet.of("10.0.0.0/8")
    }


@pytest.mark.parametrize(
    "entry",
    [
        '[failsafe]\ninbound = [{ transport = "tcp", port = 22, from = "ours" }]',
        '[[extra]]\ntransport = "tcp"\nport = 80\nfrom = "ours"\nreason = "x"',
    ],
)
def test_a_zone_of_the_sites_own_is_one_that_an_entry_uses(site: Site, entry: str) -> None:
    assert site.load(ROLE + '[zones]\nours = ["10.5.0.0/16"]\n' + entry).zones == {
        "ours": AddressSet.of("10.5.0.0/16")
    }
    assert site.faults(ROLE + entry)[0].endswith("no zone or component 'ours'")
    assert site.faults(ROLE + '[zones]\nours = ["10.5.0.0/16"]\n') == [
        "portguard.toml:3: zones.ours: no zone 'ours'"
    ]


@pytest.mark.parametrize("far", ["admins", "acme/redis", "any"])
def test_an_entry_lets_in_a_zone_a_component_or_anyone(site: Site, far: str) -> None:
    text = f'[[extra]]\ntransport = "tcp"\nport = "9100-9101"\nfrom = "{far}"\nreason = "x"\n'
    (extra,) = site.load(ROLE + text).extra
    assert (extra.zone, extra.ports) == (far, PortRange(9100, 9101))


def test_pydantic_never_speaks_for_itself(site: Site) -> None:
    """Whatever type stands where: no wording, type name or address of pydantic reaches the administrator."""
    keys = "role mode manager features zones hosts settings failsafe extra reserved heal intervals listener paths"
    for value in ("5", "2.5", "true", '"x"', "[5]", "[[5]]", "1979-05-27", "{ a = 5 }", "[{ a = 5 }]", "inf"):
        for key in keys.split():
            for fault in site.faults(("" if key == "role" else ROLE) + f"{key} = {value}\n"):
                assert "pydantic" not in fault
                assert "Input" not in fault
                assert "valid " not in fault

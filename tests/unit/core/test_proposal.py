"""What ``portguard init`` proposes: the role whose ports listen, and a file that loads."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING

import pytest
import sites

from portguard.config import load
from portguard.core.proposal import Proposal, Seen, propose
from portguard.core.proposal_text import text, unchanged
from portguard.core.resolve import resolve
from portguard.core.roles import Needs, Port, candidates, choose, needs_of
from portguard.model.exposure import Application, Exposure
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport
from portguard.model.policy import Manager
from portguard.model.snapshot import Gap, Interface, Links

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from portguard.model.config import Config

ROLES = sorted(sites.catalogue().role_by_id)
HEAD = "Proposed by a test."
NOBODY = Owner(process="server", unit="server.service")


@cache
def needs(role: str) -> Needs:
    return needs_of(sites.catalogue(), sites.catalogue().role_by_id[role])


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work out what each role needs once for all tests, not once for each: 100 ms."""
    monkeypatch.setattr("portguard.core.roles.needs_of", lambda _, role: needs(role.id))


def listening(ports: Iterable[Port], owner: Owner = NOBODY) -> tuple[Listener, ...]:
    return tuple(
        sites.listener(port.number, "::", transport=port.transport, v6only=False, owner=owner)
        for port in ports
    )


def named(role: str) -> Owner:
    """A program whose unit bears the product's name, as far as roles of general ports need it to be told apart."""
    product = role.partition("/")[0]
    return Owner(process="server", unit=f"{product}.service", pid=7)


def tcp(*numbers: int) -> tuple[Listener, ...]:
    return listening(Port(Transport.TCP, number) for number in numbers)


def seen(listeners: tuple[Listener, ...] = (), **changes: object) -> Seen:
    given: dict[str, object] = {
        "listeners": listeners,
        "links": sites.LINKS,
        "manager": Manager.PORTGUARD,
        "sensitive": {},
        "admin": None,
    }
    return Seen(**{**given, **changes})  # type: ignore[arg-type]


def proposed(listeners: tuple[Listener, ...], given: tuple[str, ...] = (), **changes: object) -> Proposal:
    found = candidates(sites.catalogue(), listeners, given=given)
    return propose(sites.catalogue(), found, seen(listeners, **changes), given=given)


def loaded(content: str, folder: Path) -> Config:
    path = folder / "portguard.toml"
    path.write_text(content, encoding="utf-8")
    return load(path, sites.catalogue(), {})


def uncommented(content: str) -> str:
    """Take the ``#`` off every setting, as an administrator would; of the roles only the proposed one is kept."""
    lines = [line for line in content.splitlines() if not re.match(r"#(role|features)\b", line)]
    return "\n".join(re.sub(r"^#(?=[^ #])", "", line) for line in lines) + "\n"


# --- which role ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "ports"),
    [
        pytest.param(role, ports, id=f"{role}-{name}")
        for role in ROLES
        for name, ports in (("required", needs(role).required), ("documented", needs(role).documented))
        if ports
    ],
)
def test_a_role_whose_ports_listen_is_proposed_and_its_text_loads(
    role: str, ports: frozenset[Port], tmp_path: Path
) -> None:
    proposal = proposed(listening(ports, named(role)))

    got = [needs(name) for name in proposal.roles]
    assert got, "nothing was proposed"
    if role not in proposal.roles:
        # Another role may demand the very same: then nothing that listens can tell them apart.
        assert frozenset[Port]().union(*(row.required for row in got)) <= ports
        assert ports <= frozenset[Port]().union(*(row.documented for row in got))
    config = loaded(text(proposal, head=HEAD), tmp_path)
    assert config.roles == proposal.roles
    assert config.mode == "observe"
    resolve(config, sites.catalogue())


@pytest.mark.parametrize("role", ROLES)
def test_every_suggestion_loads_when_it_is_taken(role: str, tmp_path: Path) -> None:
    proposal = proposed(
        (*tcp(22, 54321), *listening(needs(role).documented, named(role))),
        given=(role,),
        admin=(ipaddress.ip_address("10.9.0.5"), 22),
    )
    config = loaded(uncommented(text(proposal, head=HEAD)), tmp_path)
    policy = resolve(config, sites.catalogue())

    assert config.roles == (role,)
    assert {row.zone for row in policy.undefined} == set()
    assert 54321 in {row.ports.first for row in config.extra}
    assert "10.9.0.5/32" in {str(net) for net in config.zones["admins"].networks()}


def test_ports_that_every_server_has_make_no_role_by_themselves() -> None:
    web = tcp(22, 80, 443)
    found = candidates(sites.catalogue(), web)

    assert found[0].role.id == "printum/portal"
    assert choose(found) == ()
    assert proposed(web).roles == ()
    assert proposed(web).others[0].role.id == "printum/portal"


@pytest.mark.parametrize(
    "owner",
    [
        Owner(unit="printum-portal.service"),
        Owner(process="printum-web"),
        Owner(process="java", exe="/opt/printum/bin/java"),
        Owner(process="java", exe="/usr/bin/java", package="printum-runtime"),
    ],
    ids=["unit", "process", "path", "package"],
)
def test_the_products_name_makes_them_one(owner: Owner) -> None:
    listeners = listening((Port(Transport.TCP, number) for number in (22, 80, 443)), owner)
    found = candidates(sites.catalogue(), listeners)

    assert [row.role.id for row in choose(found)] == ["printum/portal"]
    assert found[0].names


def test_a_name_within_another_word_says_nothing() -> None:
    hiccups = listening([Port(Transport.TCP, 445)], Owner(unit="hiccups.service"))

    assert proposed(hiccups).roles == ()


def test_nothing_that_listens_is_nothing_proposed() -> None:
    proposal = proposed(())

    assert proposal.roles == ()
    assert proposal.others == ()


def test_two_roles_of_one_product_are_found_together() -> None:
    listeners = listening(needs("printum/printmanager").required | needs("printum/redis-sentinel").required)

    assert set(proposed(listeners).roles) == {"printum/printmanager", "printum/redis-sentinel"}


def test_what_misses_a_port_says_so() -> None:
    ports = needs("printum/monitoring").required - {Port(Transport.TCP, 8001)}
    proposal = proposed(listening(ports, named("printum/monitoring")))

    assert proposal.roles == ("printum/monitoring",)
    assert "required, and nobody listens: 8001/tcp" in text(proposal, head=HEAD)


def test_a_role_that_was_named_is_taken_whatever_listens() -> None:
    assert proposed((), given=("papercut/primary",)).roles == ("papercut/primary",)


def test_a_feature_whose_ports_listen_is_switched_on() -> None:
    smb = needs("papercut/site").features["windows-spooler"]
    proposal = proposed(listening(needs("papercut/site").required | smb), given=("papercut/site",))

    assert "windows-spooler" in (*proposal.features, *proposal.shared_features)


# --- the rest of the file ---------------------------------------------------------------------------------------------


def test_own_networks_are_suggestions_and_take_no_effect(tmp_path: Path) -> None:
    content = text(proposed(tcp(631)), head=HEAD)

    assert '#workstations = ["10.1.0.0/16", "2001:db8:1::/64"]' in content
    assert loaded(content, tmp_path).zones == {}


def test_networks_that_hold_no_clients_are_not_suggested() -> None:
    addresses = [("127.0.0.1", 8), ("169.254.1.1", 16), ("fe80::1", 64), ("10.28.32.5", 26), ("10.5.0.1", 32)]
    odd = Interface(
        index=2,
        name="eth0",
        up=True,
        addresses=tuple((ipaddress.ip_address(address), length) for address, length in addresses),
    )
    down = Interface(index=3, name="eth1", up=False, addresses=((ipaddress.ip_address("10.6.0.1"), 24),))
    proposal = proposed(tcp(631), links=Links(interfaces=(odd, down)))

    assert {need.suggested for need in proposal.zones} == {()}


def test_addresses_that_could_not_be_read_leave_placeholders(tmp_path: Path) -> None:
    gap = Gap(scope="addresses", reason="not permitted")
    content = text(proposed(tcp(631), links=None, gaps=(gap,)), head=HEAD)

    assert '#workstations = ["192.0.2.0/24"]' in content
    assert "addresses: not permitted" in content
    loaded(content, tmp_path)


def test_the_way_in_is_where_ssh_really_listens(tmp_path: Path) -> None:
    sshd = sites.listener(2222, owner=Owner(process="sshd", unit="ssh.service"))
    socket = sites.listener(2022, owner=Owner(process="systemd", unit="ssh.socket"))
    local = sites.listener(2023, "127.0.0.1", owner=Owner(process="sshd"))
    proposal = proposed((*tcp(631), sshd, socket, local), admin=(ipaddress.ip_address("10.9.0.5"), 22022))
    config = loaded(text(proposal, head=HEAD), tmp_path)

    assert [row.ports.first for row in config.failsafe] == [2022, 2222, 22022]
    assert proposal.beside == ()


def test_without_ssh_the_way_in_is_asked_for(tmp_path: Path) -> None:
    content = text(proposed(tcp(631)), head=HEAD)

    assert '#inbound = [{ transport = "tcp", port = 22, from = "admins" }]' in content
    assert loaded(content, tmp_path).failsafe == ()


def test_what_runs_beside_is_listed_and_takes_no_effect(tmp_path: Path) -> None:
    agent = sites.listener(9100, owner=Owner(process="node_exporter", unit="agent.service"))
    local = sites.listener(9101, "127.0.0.1")
    client = sites.listener(40000, transport=Transport.UDP)
    dhcp = sites.listener(68, transport=Transport.UDP)
    content = text(proposed((*tcp(631), agent, local, client, dhcp)), head=HEAD)

    assert loaded(content, tmp_path).extra == ()
    extra = tomllib.loads(uncommented(content))["extra"]
    assert [(row["port"], row["unit"]) for row in extra] == [(9100, "agent.service")]


def test_redis_is_never_offered_as_something_to_list() -> None:
    redis = sites.listener(6390, owner=Owner(process="redis-server"))
    content = text(
        proposed((*tcp(631), redis), sensitive={6390: Exposure(application=Application.REDIS)}), head=HEAD
    )

    assert "port = 6390" not in content
    assert "redis-server speaks redis" in content


def test_zones_of_redis_say_that_nobody_is_let_in() -> None:
    proposal = proposed((), given=("printum/redis-sentinel",))

    closed = [need for need in proposal.zones if not need.open_until_defined]
    assert closed
    assert "nobody is let in until it is defined" in " ".join(text(proposal, head=HEAD).split("\n# "))


@pytest.mark.parametrize(
    "evil", ['x"\nmode = "heal"\n#', "x\r\nrole = 1", "x\x1b[2J", "x\u2028y", "\udcff", "y" * 5000, 'a"b\\c']
)
def test_names_from_outside_cannot_write_settings(evil: str, tmp_path: Path) -> None:
    owner = Owner(process=evil, unit=evil, exe=evil)
    proposal = proposed(
        (*listening(needs("cups/scheduler").required, owner), *listening([Port(Transport.TCP, 7)], owner))
    )
    content = text(proposal, head=HEAD)
    config = loaded(content, tmp_path)

    assert config.mode == "observe"
    assert config.roles == ("cups/print-server",)
    assert max(len(line) for line in content.splitlines()) < 400
    tomllib.loads(uncommented(content))


# --- the seal ---------------------------------------------------------------------------------------------------------


def test_an_edited_file_is_told_from_one_as_it_was_written() -> None:
    content = text(proposed(tcp(631)), head=HEAD)

    assert unchanged(content)
    assert not unchanged(content.replace("observe", "heal"))
    assert not unchanged(content + "\n")
    assert not unchanged("")

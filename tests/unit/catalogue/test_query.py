"""Questions asked of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard.catalogue import load, query
from portguard.catalogue.query import Match
from portguard.errors import UsageError
from portguard.model.flow import Source
from portguard.model.net import PortRange, Transport

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.model.flow import Catalogue

SITE = """
schema = 1
product = "site"

[documents.900]
title = "Ports of the site's own product"

[zones]
people = "People"

[[component]]
id = "site/a"
title = "A"

[[component]]
id = "site/b"
title = "B"

[[component]]
id = "site/quiet"
title = "Accepts nothing"
listens = false

[[role]]
id = "site/both"
title = "A and B on one server"
components = ["site/a", "site/b"]

[[flow]]
id = "site/a-web"
clients = ["people", "site/b"]
server = "site/a"
transport = "tcp"
ports = [80, "9000-9003"]
application = "http"
setting = "site.aPort"
purpose = "Pages of A"
sources = ["900:1"]
disputes = ["site/b-web"]

[[flow]]
id = "site/b-web"
clients = ["people"]
server = "site/b"
transport = "tcp+udp"
ports = [80, 9003]
application = "http"
purpose = "Pages of B"
sources = ["900:2"]

[[flow]]
id = "site/a-ftp"
clients = ["people"]
server = "site/a"
transport = "tcp"
ports = ["1024-65535"]
dynamic = true
application = "ftp-data"
need = "feature:ftp"
purpose = "Passive data"
sources = ["900:3"]

[[flow]]
id = "site/b-jmx"
clients = ["people"]
server = "site/b"
transport = "tcp"
ports = [9898]
application = "jmx"
need = "localhost"
purpose = "Monitoring of B"
sources = ["900:4"]

[[flow]]
id = "site/out"
clients = ["site/quiet", "site/b"]
server = "any"
transport = "unknown"
ports = [5000]
application = "odd"
source_ports = ["40000-40010"]
purpose = "Something outside"
sources = ["900:5"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Read a small product in which everything odd happens once."""
    path: Path = tmp_path_factory.mktemp("catalogue") / "site.toml"
    path.write_text(SITE)
    return load.read([load.DATA / "zones.toml", path])


def ids(uses: tuple[query.Use, ...]) -> list[tuple[str, Match]]:
    return [(use.flow.id, use.match) for use in uses]


def test_inbound_is_what_a_component_of_the_role_accepts(site: Catalogue) -> None:
    assert [flow.id for flow in query.inbound(site, ("site/a",))] == ["site/a-web", "site/a-ftp"]


def test_outbound_leaves_out_what_ends_on_the_same_server(site: Catalogue) -> None:
    assert [flow.id for flow in query.outbound(site, ("site/b",))] == ["site/a-web", "site/out"]
    assert [flow.id for flow in query.outbound(site, ("site/a", "site/b"))] == ["site/out"]


def test_exact_port_comes_before_a_range_and_a_dynamic_range_last(site: Catalogue) -> None:
    assert ids(query.using(site, 9003)) == [
        ("site/b-web", Match.PORT),
        ("site/a-web", Match.RANGE),
        ("site/a-ftp", Match.DYNAMIC),
    ]


def test_a_dynamic_range_and_source_ports_do_not_document_a_port(site: Catalogue) -> None:
    uses = query.using(site, 40005)
    assert ids(uses) == [("site/a-ftp", Match.DYNAMIC), ("site/out", Match.SOURCE)]
    assert [use.documents for use in uses] == [False, False]


def test_transport_narrows_and_an_unstated_one_could_be_either(site: Catalogue) -> None:
    assert ids(query.using(site, 80, Transport.UDP)) == [("site/b-web", Match.PORT)]
    assert ids(query.using(site, 5000, Transport.UDP)) == [("site/out", Match.PORT)]


def test_components_narrow_to_what_they_accept_or_open(site: Catalogue) -> None:
    assert ids(query.using(site, 80, components=("site/b",))) == [
        ("site/a-web", Match.PORT),
        ("site/b-web", Match.PORT),
    ]
    assert ids(query.using(site, 5000, components=("site/a",))) == [("site/a-ftp", Match.DYNAMIC)]


def test_a_wide_range_is_dynamic_even_where_the_file_forgot_to_say_so(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(SITE.replace("dynamic = true\n", ""))
    wide = load.read([load.DATA / "zones.toml", path])
    assert ids(query.using(wide, 30000)) == [("site/a-ftp", Match.DYNAMIC)]
    assert all(len(clash.ports) < 5 for clash in query.clashes(wide.flows))


def test_nearest_names_documented_ports_on_both_sides_and_no_wide_range(site: Catalogue) -> None:
    near = query.nearest(site, 9005, count=3)
    assert [(str(use.ports), use.flow.id) for use in near] == [
        ("9000-9003", "site/a-web"),
        ("9003", "site/b-web"),
        ("9898", "site/b-jmx"),
    ]


def test_a_dispute_is_seen_from_both_sides(site: Catalogue) -> None:
    a, b = site.flow_by_id["site/a-web"], site.flow_by_id["site/b-web"]
    assert query.disputes(site, a) == (b,)
    assert query.disputes(site, b) == (a,)
    assert query.disputes(site, site.flow_by_id["site/b-jmx"]) == ()


def test_clash_is_the_overlap_of_two_components_on_one_transport(site: Catalogue) -> None:
    found = query.clashes(query.inbound(site, ("site/a", "site/b")))
    assert [(clash.transport, clash.ports) for clash in found] == [
        (Transport.TCP, PortRange(80, 80)),
        (Transport.TCP, PortRange(9003, 9003)),
    ]
    assert found[0].components == ("site/a", "site/b")
    assert found[0].settings == ("site.aPort",)


def test_one_component_does_not_clash_with_itself(site: Catalogue) -> None:
    assert query.clashes(query.inbound(site, ("site/a",))) == ()


def test_only_flows_for_loopback_are_local(site: Catalogue) -> None:
    assert [flow.id for flow in site.flows if query.local_only(flow)] == ["site/b-jmx"]


def test_flows_are_read_by_port_and_those_without_come_last() -> None:
    shipped = load.load()
    ordered = query.by_port(query.outbound(shipped, ("printum/server",)))
    numbers = [flow.ports[0].first if flow.ports else None for flow in ordered]
    with_port = [number for number in numbers if number is not None]
    assert with_port == sorted(with_port)
    assert numbers[len(with_port) :] == [None] * (len(numbers) - len(with_port))
    assert with_port, "a Printum server opens connections to documented ports"


def test_a_component_that_listens_is_a_role_and_one_that_does_not_is_none(site: Catalogue) -> None:
    assert query.role(site, "site/a").components == ("site/a",)
    assert query.role(site, "site/both").components == ("site/a", "site/b")
    with pytest.raises(UsageError, match=r"^no role 'site/quiet'"):
        query.role(site, "site/quiet")


def test_an_unknown_role_is_answered_with_near_misses() -> None:
    with pytest.raises(UsageError, match=r"no role 'printum/printmanger'; did you mean printum/printmanager"):
        query.role(load.load(), "printum/printmanger")


def test_json_has_every_promised_key() -> None:
    document = query.to_json(load.load())
    assert set(document) >= {"schema", "documents", "components", "roles", "flows", "reserved"}
    assert document["schema"] == 1
    flow = next(row for row in document["flows"] if row["id"] == "printum/monitoring-web-tls")
    assert {
        key: flow[key] for key in ("ports", "transport", "security", "need", "scope", "setting", "sources")
    } == {
        "ports": [[8001, 8001]],
        "transport": "tcp",
        "security": "encrypted",
        "need": "required",
        "scope": "network",
        "setting": None,
        "sources": [{"document": "000", "line": 22}],
    }
    assert {
        "network": "10.28.32.0/26",
        "product": "printum",
        "sources": [{"document": "000", "line": 10}],
    } in document["reserved"]


def test_every_flow_in_json_has_the_same_keys() -> None:
    flows = query.to_json(load.load())["flows"]
    assert len({tuple(flow) for flow in flows}) == 1


def test_features_that_are_not_used_take_their_flows_with_them(site: Catalogue) -> None:
    flows = query.inbound(site, ("site/a",))
    assert [flow.id for flow in query.in_use(flows, ())] == ["site/a-web"]
    assert [flow.id for flow in query.in_use(flows, ("ftp", "other"))] == ["site/a-web", "site/a-ftp"]


def test_far_sides_are_zones_before_components_and_leave_out_this_host_and_loopback(site: Catalogue) -> None:
    flows = query.inbound(site, ("site/a", "site/b"))
    assert query.far_sides(site, flows, ("site/a",)) == ("people", "site/b")
    assert query.far_sides(site, flows, ("site/a", "site/b")) == ("people",)
    jmx = site.flow_by_id["site/b-jmx"]
    assert query.far_sides(site, (jmx,), ("site/b",)) == ()


def test_far_side_of_what_runs_on_every_workstation_is_their_zone() -> None:
    shipped = load.load()
    flows = query.inbound(shipped, ("safeq6/flexispooler-server",))
    assert any("safeq6/flexispooler-workstation" in flow.clients for flow in flows)
    sides = query.far_sides(shipped, flows, ("safeq6/flexispooler-server",))
    assert "safeq6/flexispooler-workstation" not in sides
    assert "workstations" in sides


def test_sources_are_cited_once_for_each_document() -> None:
    sources = (Source("001", 9), Source("001", 43), Source("002", 18))
    assert query.cites(sources) == ["001:9, 43", "002:18"]
    assert query.cites(()) == []

"""Every role of the catalogue, through the resolver that the daemon uses."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from portguard.catalogue import load, query
from portguard.core.resolve import resolve
from portguard.model.config import Config
from portguard.model.flow import REQUIRED
from portguard.model.net import AddressSet
from portguard.model.policy import Direction, Mode, Policy

if TYPE_CHECKING:
    from portguard.model.flow import Catalogue

SHIPPED = load.load()
FEATURES = tuple(sorted({flow.feature for flow in SHIPPED.flows if flow.feature}))


def policy(catalogue: Catalogue, role: str, features: tuple[str, ...]) -> Policy:
    """Resolve a role on a site where every zone and every other server is known."""
    networks = AddressSet.of("10.1.0.0/16")
    return resolve(
        Config(
            roles=(role,),
            mode=Mode.HEAL,
            features=features,
            zones={zone.id: networks for zone in catalogue.zones},
            hosts={component.id: networks for component in catalogue.components},
        ),
        catalogue,
    )


@pytest.mark.parametrize("features", [(), FEATURES], ids=["no-feature", "every-feature"])
@pytest.mark.parametrize("role", sorted(SHIPPED.role_by_id))
def test_what_a_role_shows_is_what_the_daemon_guards(role: str, features: tuple[str, ...]) -> None:
    shown = query.role(SHIPPED, role)
    used = (*features, *shown.features)
    resolved = policy(SHIPPED, role, features)
    services = resolved.services
    assert resolved.undefined == ()
    for direction, flows in (
        (Direction.INBOUND, query.inbound(SHIPPED, shown.components)),
        (Direction.OUTBOUND, query.outbound(SHIPPED, shown.components)),
    ):
        guarded = {service.flow for service in services if service.direction is direction}
        assert guarded == {flow.id for flow in query.in_use(flows, used)}


@pytest.mark.parametrize("role", sorted(SHIPPED.role_by_id))
def test_no_role_demands_a_listener_in_a_range_or_for_what_is_optional(role: str) -> None:
    demanded = [service for service in policy(SHIPPED, role, FEATURES).services if service.listener_expected]
    for service in demanded:
        flow = SHIPPED.flow_by_id[service.flow]
        assert flow.need == REQUIRED or flow.feature
        assert service.ports is not None
        assert len(service.ports) <= query.WIDE
        assert not flow.dynamic


def test_every_server_role_accepts_something() -> None:
    for role in SHIPPED.roles:
        assert query.inbound(SHIPPED, role.components), role.id


def test_the_whole_catalogue_takes_less_than_8_megabytes() -> None:
    tracemalloc.start()
    try:
        catalogue = load.load()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert catalogue.flows
    assert peak < 8_000_000

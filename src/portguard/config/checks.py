"""Validators of the configuration, as pydantic calls them: with the value and what is known.

Each reports everything that is wrong inside its value at once, in our own words (:class:`Wrong`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from portguard.config import values
from portguard.config.known import ANY

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.config.known import Known
    from portguard.config.lines import Place
    from portguard.model.net import IPNetwork, PortRange

T = TypeVar("T")

FAULTS = "portguard"
"""Type of our own errors among pydantic's; ``ctx["faults"]`` is a list of (place within the value, message)."""


class Wrong:
    """Collects what is wrong inside one value."""

    def __init__(self) -> None:
        self.faults: list[tuple[Place, str]] = []

    def read(self, place: Place, parse: Callable[..., T], *args: Any) -> T | None:
        """Call a reader; note its ValueError and return None."""
        try:
            return parse(*args)
        except ValueError as error:
            self.faults.append((place, str(error)))
            return None

    def items(self, value: object, place: Place = ()) -> list[object]:
        """Return the items of a list; note when it is none."""
        if isinstance(value, list):
            return value
        self.faults.append((place, f"must be a list, not {values.show(value)}"))
        return []

    def table(self, value: object) -> dict[str, object]:
        """Return a table; note when it is none."""
        if isinstance(value, dict):
            return value
        self.faults.append(((), f"must be a table, not {values.show(value)}"))
        return {}

    def end(self) -> None:
        """Raise what was collected, if anything was."""
        if self.faults:
            raise PydanticCustomError(FAULTS, "faults", {"faults": self.faults})


def _known(info: ValidationInfo) -> Known:
    return cast("Known", info.context)


def by(parse: Callable[..., T], **limits: Any) -> PlainValidator:
    """Make a validator from a reader of single values."""

    def validate(value: object) -> T:
        wrong = Wrong()
        found = wrong.read((), lambda: parse(value, **limits))
        wrong.end()
        return found  # type: ignore[return-value]  # None only after a fault, and then end() has raised

    return PlainValidator(validate)


def _named(value: object, names: frozenset[str], what: str, known: Known) -> tuple[str, ...]:
    """Read a list of names that must exist, each once."""
    wrong = Wrong()
    found: list[str] = []
    for number, item in enumerate(wrong.items(value)):
        name = wrong.read((number,), values.text, item)
        if name is None:
            continue
        if name in found:
            wrong.faults.append(((number,), f"{name!r} stands twice in the list"))
            continue
        found.append(name)
        wrong.read((number,), known.check, name, names, what)
    wrong.end()
    return tuple(found)


def roles(value: object, info: ValidationInfo) -> tuple[str, ...]:
    """Read one role or a list of roles, which may be empty: not said yet."""
    known = _known(info)
    if isinstance(value, str):
        wrong = Wrong()
        wrong.read((), known.check, value, known.roles, "role")
        wrong.end()
        return (value,)
    return _named(value, known.roles, "role", known)


def features(value: object, info: ValidationInfo) -> tuple[str, ...]:
    """Read features that some flow of the catalogue documents."""
    known = _known(info)
    return _named(value, known.features, "documented feature", known)


def _network_list(value: object, wrong: Wrong, place: Place, known: Known | None) -> tuple[IPNetwork, ...]:
    """Read networks that do not overlap each other and, given what is reserved, do not lie in it."""
    found = [
        wrong.read((*place, number), values.network, item)
        for number, item in enumerate(wrong.items(value, place))
    ]
    names = [net and values.spell(net) for net in found]
    for number, earlier in values.overlaps(found):
        message = f"{names[number]} overlaps {names[earlier]}, entry [{earlier}] of the list"
        wrong.faults.append(((*place, number), message))
    if known is not None:
        for number, net in enumerate(found):
            if net is not None:
                wrong.read((*place, number), known.check_reserved, net)
    return tuple(net for net in found if net is not None)


def ranges(value: object) -> tuple[IPNetwork, ...]:
    """Read further reserved ranges."""
    wrong = Wrong()
    found = _network_list(value, wrong, (), None)
    wrong.end()
    return found


def zones(value: object, info: ValidationInfo) -> dict[str, tuple[IPNetwork, ...]]:
    """Read zones and their networks."""
    known = _known(info)
    wrong = Wrong()
    found = {}
    for name, nets in wrong.table(value).items():
        wrong.read((name,), known.check_zone, name)
        found[name] = _network_list(nets, wrong, (name,), known)
    wrong.end()
    return found


def hosts(value: object, info: ValidationInfo) -> dict[str, tuple[IPNetwork, ...]]:
    """Read the servers of other components."""
    known = _known(info)
    wrong = Wrong()
    found = {}
    for name, nets in wrong.table(value).items():
        wrong.read((name,), known.check, name, known.components, "component")
        found[name] = _network_list(nets, wrong, (name,), known)
    wrong.end()
    return found


def settings(value: object, info: ValidationInfo) -> dict[str, PortRange]:
    """Read ports that the documents call configurable."""
    known = _known(info)
    wrong = Wrong()
    found = {}
    for name, port in wrong.table(value).items():
        wrong.read((name,), known.check, name, known.settings, "setting")
        ports = wrong.read((name,), values.ports, port)
        if ports is not None:
            found[name] = ports
    wrong.end()
    return found


def far_side(value: object, info: ValidationInfo) -> str:
    """Read a zone or component that an entry lets in."""
    known = _known(info)
    wrong = Wrong()
    name = wrong.read((), values.text, value)
    if name is not None:
        wrong.read(
            (), known.check, name, known.zones | known.components | known.defined | {ANY}, "zone or component"
        )
    wrong.end()
    return str(name)


def patterns(value: object) -> tuple[str, ...]:
    """Read patterns of interface names."""
    wrong = Wrong()
    found = [wrong.read((number,), values.pattern, item) for number, item in enumerate(wrong.items(value))]
    wrong.end()
    return tuple(item for item in found if item is not None)

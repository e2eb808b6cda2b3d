"""Read catalogue files into values, and report everything that is wrong with them at once.

The format is described at the head of ``data/printum.toml``. Validation is our own rather than pydantic's, because the
daemon and ``portguard explain`` read the catalogue too and should not pay 20 MB and 100 ms for it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from portguard.errors import ConfigError, Fault
from portguard.model.flow import (
    FEATURE,
    NEED_UNKNOWN,
    ONLY_LOCALHOST,
    OPTIONAL,
    REQUIRED,
    Catalogue,
    Component,
    Document,
    Flow,
    Reserved,
    Role,
    Scope,
    Security,
    Source,
    Zone,
)
from portguard.model.net import PortRange, Transport
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from enum import StrEnum

SCHEMA = 1
DATA = Path(__file__).parent / "data"
"""The vendors' documents, shipped with the package."""

LOCAL_CATALOGUE = Path("/etc/portguard/catalogue.d")
"""An administrator's own products."""

_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*(/[a-z0-9][a-z0-9.+-]*)?")
_SOURCE = re.compile(r"([A-Za-z0-9._-]+):([1-9][0-9]*)")

E = TypeVar("E", bound="StrEnum")


def load(extra: Iterable[Path] = ()) -> Catalogue:
    """Read the shipped catalogue and further files.

    Raises ConfigError with every fault of every file.
    """
    return read([*sorted(DATA.glob("*.toml")), *extra])


def local_files(folder: Path = LOCAL_CATALOGUE) -> list[Path]:
    """Files of the administrator's own catalogue, in name order; none when the folder does not exist."""
    return sorted(folder.glob("*.toml"))


def read(files: Iterable[Path]) -> Catalogue:
    """Read catalogue files that may refer to each other. Raises ConfigError with every fault of every file."""
    faults: list[Fault] = []
    parts: list[_File] = []
    digest = hashlib.sha256()
    for path in files:
        try:
            raw = path.read_bytes()
        except OSError as error:
            faults.append(Fault(file=str(path), path="", message=error.strerror or str(error)))
            continue
        digest.update(raw)
        try:
            text = raw.decode()
            document = tomllib.loads(text)
        except UnicodeDecodeError as error:
            faults.append(Fault(file=str(path), path="", message=f"is not UTF-8: {error.reason}"))
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            faults.append(
                Fault(
                    file=str(path),
                    line=int(line[1]) if line else None,
                    path="",
                    message=f"is not TOML: {error}",
                )
            )
        else:
            part = _File(name=str(path), text=text, faults=faults)
            part.parse(document)
            parts.append(part)
    _check_references(parts, faults)
    if faults:
        raise ConfigError(faults)
    return Catalogue(
        documents=tuple(row for part in parts for row in part.documents),
        zones=tuple(row for part in parts for row in part.zones),
        components=tuple(row for part in parts for row in part.components),
        roles=tuple(row for part in parts for row in part.roles),
        flows=tuple(row for part in parts for row in part.flows),
        reserved=tuple(row for part in parts for row in part.reserved),
        digest=digest.hexdigest(),
    )


@dataclass(slots=True)
class _Entry:
    """One table of the file on its way to a value: typed getters that note a fault instead of raising."""

    file: _File
    path: str
    table: Mapping[str, Any]
    used: set[str] = field(default_factory=set)

    def fault(self, key: str, message: str) -> None:
        self.file.fault(f"{self.path}.{key}" if key else self.path, message)

    def text(self, key: str, default: str | None = None) -> str:
        self.used.add(key)
        value = self.table.get(key, default)
        if value is None:
            self.fault(key, "is missing")
            return ""
        if not isinstance(value, str) or not value.strip():
            self.fault(key, "must be a text that is not empty")
            return ""
        return value

    def optional(self, key: str) -> str | None:
        return self.text(key) if key in self.table else None

    def flag(self, key: str, *, default: bool) -> bool:
        self.used.add(key)
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            self.fault(key, "must be true or false")
            return default
        return value

    def list(self, key: str, parse: Callable[[Any], Any], *, required: bool = True) -> tuple[Any, ...]:
        self.used.add(key)
        value = self.table.get(key)
        if value is None:
            if required:
                self.fault(key, "is missing")
            return ()
        if not isinstance(value, list):
            self.fault(key, "must be a list")
            return ()
        out = []
        for number, item in enumerate(value):
            try:
                out.append(parse(item))
            except ValueError as error:
                self.fault(f"{key}[{number}]", str(error))
        return tuple(out)

    def choice(self, key: str, kind: type[E], default: str | None = None) -> E:
        value = self.text(key, default)
        try:
            return kind(value)
        except ValueError:
            if value:
                names = [member.value for member in kind]
                self.fault(key, f"{value!r} is none of {', '.join(names)}{did_you_mean(value, names)}")
            return next(iter(kind))

    def id(self) -> str:
        value = self.text("id")
        if value and not _ID.fullmatch(value):
            self.fault("id", f"{value!r} is not an id such as product/name, in lower case")
        return value

    def done(self) -> None:
        for key in self.table.keys() - self.used:
            self.fault(key, f"is not a key of a {self.path.partition('[')[0]}{did_you_mean(key, self.used)}")


@dataclass(slots=True)
class _File:
    """One catalogue file: its values and where each was found."""

    name: str
    text: str
    faults: list[Fault]
    product: str = ""
    documents: list[Document] = field(default_factory=list)
    zones: list[Zone] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)
    _lines: list[str] | None = None

    def fault(self, path: str, message: str) -> None:
        self.faults.append(Fault(file=self.name, line=self._line(path), path=path, message=message))

    def _line(self, path: str) -> int | None:
        """Find the line of ``flow[3].ports[1]`` by its table header and key; None where it is written inline."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        place = re.fullmatch(r"(\w+)(?:\[(\d+)\])?(?:\.([^.\[\]]+))?.*", path)
        if place is None:
            return None
        name, number, key = place.groups()
        header = re.compile(rf"\s*\[\[\s*{name}\s*\]\]" if number else rf"\s*\[\s*{name}\s*\]|\s*{name}\s*=")
        starts = [at for at, line in enumerate(self._lines) if header.match(line)]
        if len(starts) <= int(number or 0):
            return None
        start = starts[int(number or 0)]
        if key is not None:
            for at in range(start + 1, len(self._lines)):
                if re.match(r"\s*\[", self._lines[at]) and not re.match(r"\s*\[\s*[\"\d]", self._lines[at]):
                    break
                if re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", self._lines[at]):
                    return at + 1
        return start + 1

    def parse(self, document: Mapping[str, Any]) -> None:
        if document.get("schema") != SCHEMA:
            self.fault("schema", f"must be {SCHEMA}, the format that this version reads")
        known = {"schema", "product", "title", "documents", "zones", "component", "role", "flow", "reserved"}
        for key in document.keys() - known:
            self.fault(key, f"is not a part of a catalogue file{did_you_mean(key, known)}")
        product = document.get("product", "")
        self.product = product if isinstance(product, str) else ""
        if not self.product and document.keys() & {"component", "role", "flow", "documents"}:
            self.fault("product", "is missing: it names the product whose flows these are")
        for id_, table in self._named("documents", document):
            entry = _Entry(self, f"documents.{id_}", table)
            self.documents.append(Document(id=id_, product=self.product, title=entry.text("title")))
            entry.done()
        zones = document.get("zones", {})
        for id_, title in zones.items() if isinstance(zones, dict) else ():
            if not isinstance(title, str) or not title.strip():
                self.fault(f"zones.{id_}", "must be the title of the zone")
            else:
                self.zones.append(Zone(id=id_, title=title))
        for entry in self._entries("component", document):
            self.components.append(
                Component(
                    id=entry.id(),
                    product=self.product,
                    title=entry.text("title"),
                    listens=entry.flag("listens", default=True),
                    zone=entry.optional("zone"),
                )
            )
            entry.done()
        for entry in self._entries("role", document):
            self.roles.append(
                Role(
                    id=entry.id(),
                    title=entry.text("title"),
                    components=entry.list("components", _text),
                    features=entry.list("features", _text, required=False),
                )
            )
            entry.done()
        for entry in self._entries("flow", document):
            self._flow(entry)
        for entry in self._entries("reserved", document):
            network = entry.text("network")
            sources = entry.list("sources", _source, required=False)
            entry.done()
            try:
                net = ipaddress.ip_network(network)
            except ValueError as error:
                entry.fault("network", str(error))
            else:
                self.reserved.append(Reserved(network=net, product=self.product, sources=sources))

    def _named(self, key: str, document: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
        tables = document.get(key, {})
        if not isinstance(tables, dict):
            self.fault(key, "must be a table of tables")
            return
        for name, table in tables.items():
            if isinstance(table, dict):
                yield name, table
            else:
                self.fault(f"{key}.{name}", "must be a table")

    def _entries(self, key: str, document: Mapping[str, Any]) -> Iterable[_Entry]:
        rows = document.get(key, [])
        if not isinstance(rows, list):
            self.fault(key, f"must be written as [[{key}]]")
            return
        for number, row in enumerate(rows):
            if isinstance(row, dict):
                yield _Entry(self, f"{key}[{number}]", row)
            else:
                self.fault(f"{key}[{number}]", "must be a table")

    def _flow(self, entry: _Entry) -> None:
        need = entry.text("need", REQUIRED)
        if need not in (REQUIRED, OPTIONAL, ONLY_LOCALHOST, NEED_UNKNOWN) and not (
            need.startswith(FEATURE) and len(need) > len(FEATURE)
        ):
            entry.fault("need", f"{need!r} is none of required, optional, localhost, unknown, feature:<name>")
        flow = Flow(
            id=entry.id(),
            product=self.product,
            clients=entry.list("clients", _text),
            server=entry.text("server"),
            transport=entry.choice("transport", Transport),
            ports=entry.list("ports", PortRange.parse),
            application=entry.text("application"),
            security=entry.choice("security", Security, "unknown"),
            need=need,
            scope=entry.choice("scope", Scope, "localhost" if need == ONLY_LOCALHOST else "network"),
            setting=entry.optional("setting"),
            purpose=entry.text("purpose"),
            sources=entry.list("sources", _source, required=False),
            hosts=entry.list("hosts", _text, required=False),
            source_ports=entry.list("source_ports", PortRange.parse, required=False),
            dynamic=entry.flag("dynamic", default=False),
            note=entry.optional("note"),
            disputes=entry.list("disputes", _text, required=False),
        )
        entry.done()
        self.flows.append(flow)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value


def _source(value: object) -> Source:
    match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a document and a line such as "000:19"')
    return Source(match[1], int(match[2]))


def _check_references(parts: list[_File], faults: list[Fault]) -> None:
    """Find ids that stand twice and names that nothing defines, across all files."""

    def ids(kind: str, rows: Callable[[_File], Iterable[Any]]) -> set[str]:
        seen: dict[str, str] = {}
        for part in parts:
            for number, row in enumerate(rows(part)):
                path = f"{kind}[{number}].id" if kind in {"component", "role", "flow"} else f"{kind}.{row.id}"
                if row.id and row.id in seen:
                    part.fault(path, f"{row.id!r} is defined twice, first in {seen[row.id]}")
                seen.setdefault(row.id, part.name)
        return set(seen)

    documents = ids("documents", lambda part: part.documents)
    zones = ids("zones", lambda part: part.zones)
    components = ids("component", lambda part: part.components)
    ids("role", lambda part: part.roles)
    flows = ids("flow", lambda part: part.flows)
    sides = zones | components
    features = {flow.feature for part in parts for flow in part.flows}
    for part in parts:
        for number, component in enumerate(part.components):
            if component.zone is not None and component.zone not in zones:
                part.fault(
                    f"component[{number}].zone",
                    f"no zone {component.zone!r}{did_you_mean(component.zone, zones)}",
                )
        for number, role in enumerate(part.roles):
            for name in role.components:
                if name not in components:
                    part.fault(
                        f"role[{number}].components", f"no component {name!r}{did_you_mean(name, components)}"
                    )
            for feature in role.features:
                if feature not in features:
                    part.fault(f"role[{number}].features", f"no flow has the feature {feature!r}")
        for number, flow in enumerate(part.flows):
            path = f"flow[{number}]"
            for key, names in (("clients", flow.clients), ("server", (flow.server,))):
                for name in names:
                    if name and name not in sides:
                        part.fault(
                            f"{path}.{key}", f"no component or zone {name!r}{did_you_mean(name, sides)}"
                        )
            if not flow.clients:
                part.fault(f"{path}.clients", "names nobody")
            for source in flow.sources:
                if source.document not in documents:
                    part.fault(f"{path}.sources", f"no document {source.document!r}")
            for name in flow.disputes:
                if name not in flows:
                    part.fault(f"{path}.disputes", f"no flow {name!r}{did_you_mean(name, flows)}")
    faults.sort(key=lambda fault: (fault.file, fault.line or 0))

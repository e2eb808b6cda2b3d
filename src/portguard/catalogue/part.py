"""One catalogue file: its tables as values, and the line of each for the faults."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portguard.catalogue.entry import Entry, parse_source, parse_text
from portguard.errors import Fault
from portguard.model.flow import (
    FEATURE,
    NEED_UNKNOWN,
    ONLY_LOCALHOST,
    OPTIONAL,
    REQUIRED,
    Component,
    Document,
    Flow,
    Reserved,
    Role,
    Scope,
    Security,
    Zone,
)
from portguard.model.net import PortRange, Transport
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = 1
"""Format of catalogue files that this version reads."""


@dataclass(slots=True)
class Part:
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
        """Note what is wrong at a path such as ``flow[3].ports[1]``, with the line where it can be found."""
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
        """Turn the tables of the file into values, noting every fault."""
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
            entry = Entry(self.fault, f"documents.{id_}", table)
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
                    components=entry.list("components", parse_text),
                    features=entry.list("features", parse_text, required=False),
                )
            )
            entry.done()
        for entry in self._entries("flow", document):
            self._flow(entry)
        for entry in self._entries("reserved", document):
            network = entry.text("network")
            sources = entry.list("sources", parse_source, required=False)
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

    def _entries(self, key: str, document: Mapping[str, Any]) -> Iterable[Entry]:
        rows = document.get(key, [])
        if not isinstance(rows, list):
            self.fault(key, f"must be written as [[{key}]]")
            return
        for number, row in enumerate(rows):
            if isinstance(row, dict):
                yield Entry(self.fault, f"{key}[{number}]", row)
            else:
                self.fault(f"{key}[{number}]", "must be a table")

    def _flow(self, entry: Entry) -> None:
        need = entry.text("need", REQUIRED)
        if need not in (REQUIRED, OPTIONAL, ONLY_LOCALHOST, NEED_UNKNOWN) and not (
            need.startswith(FEATURE) and len(need) > len(FEATURE)
        ):
            entry.fault("need", f"{need!r} is none of required, optional, localhost, unknown, feature:<name>")
        flow = Flow(
            id=entry.id(),
            product=self.product,
            clients=entry.list("clients", parse_text),
            server=entry.text("server"),
            transport=entry.choice("transport", Transport),
            ports=entry.list("ports", PortRange.parse),
            application=entry.text("application"),
            security=entry.choice("security", Security, "unknown"),
            need=need,
            scope=entry.choice("scope", Scope, "localhost" if need == ONLY_LOCALHOST else "network"),
            setting=entry.optional("setting"),
            purpose=entry.text("purpose"),
            sources=entry.list("sources", parse_source, required=False),
            hosts=entry.list("hosts", parse_text, required=False),
            source_ports=entry.list("source_ports", PortRange.parse, required=False),
            dynamic=entry.flag("dynamic", default=False),
            note=entry.optional("note"),
            disputes=entry.list("disputes", parse_text, required=False),
        )
        entry.done()
        self.flows.append(flow)

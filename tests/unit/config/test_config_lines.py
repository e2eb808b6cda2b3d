"""The line of every value of a TOML document."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portguard.config.lines import Place, lines_of
from portguard.config.sources import Layer, merge, origin, spell

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
role = "x"          # 2
"quoted key" = 1
a.b."c.d" = 2

[zones]
one = ["10.0.0.0/8", "::/0"]   # 7
many = [
  # not this one
  "10.1.0.0/16",
  "10.2.0.0/16", "a ] b",

  'literal # ] "',
]
text = """
[no.table]
key = "no key" \\""" still
"""
raw = \'\'\'
[nor.this]\'\'\'\'
after = 1979-05-27T07:32:00Z

[failsafe]
inbound = [
  { port = 22, "from" = "a" },

  { port = 23, from = "b" },
]

[[extra]]
port = 1
[[extra]]
port = 2
[extra.sub]
x = 1
[[extra.rows]]
y = 1
[[extra.rows]]
y = 2
[heal.deep]
z = { a.b = 1, c = [[1],
 [2]] }
'''


def test_each_value_has_the_line_on_which_it_stands() -> None:
    lines = lines_of(DOCUMENT)
    assert lines[("role",)] == 2
    assert lines[("quoted key",)] == 3
    assert lines[("a", "b", "c.d")] == 4
    assert lines[("zones",)] == 6
    assert lines[("zones", "one", 1)] == 7
    assert [lines[("zones", "many", number)] for number in range(4)] == [10, 11, 11, 13]
    assert lines[("zones", "text")] == 15
    assert lines[("zones", "raw")] == 19
    assert lines[("zones", "after")] == 21
    assert lines[("failsafe", "inbound", 1)] == 27
    assert lines[("failsafe", "inbound", 1, "from")] == 27
    assert lines[("extra",)] == 30
    assert lines[("extra", 1)] == 32
    assert lines[("extra", 1, "port")] == 33
    assert lines[("extra", 1, "sub", "x")] == 35
    assert lines[("extra", 1, "rows", 1, "y")] == 39
    assert lines[("heal", "deep", "z", "a", "b")] == 41
    assert lines[("heal", "deep", "z", "c", 1, 0)] == 42


def test_nothing_inside_a_text_is_taken_for_a_key() -> None:
    document = tomllib.loads(DOCUMENT)
    assert set(_places(document)) <= set(lines_of(DOCUMENT))
    assert not [place for place in lines_of(DOCUMENT) if place[0] in ("no", "nor", "key")]


def test_line_ends_of_windows_count_once() -> None:
    assert lines_of("a = 1\r\nb = [\r\n 1,\r\n 2]\r\n")[("b", 1)] == 4


def test_escapes_in_keys_are_read_as_toml_reads_them() -> None:
    text = '"a\\u00e9\\t\\"" = 1\n\'b\\u\' = 2\n'
    assert set(tomllib.loads(text)) == {place[0] for place in lines_of(text)}


def _places(value: Any, place: Place = ()) -> list[Place]:
    found = [place] if place else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += _places(inner, (*place, number))
    return found


KEYS = st.text('ab."\\é-', min_size=1, max_size=3)
LEAVES = st.sampled_from(["leaf", 'qu"ote', "br]ack{et}", "#", "two\nlines", "''' \"\"\""])


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Writer:
    """Writes a document as TOML, and notes where it put each leaf."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Place, int] = {}

    def blank(self) -> None:
        self.text += self.draw(st.sampled_from(["", " ", "\n", '\n # [x] = "\n', "\t"]))

    def value(self, value: Any, place: Place) -> None:
        self.lines[place] = self.text.count("\n") + 1
        if isinstance(value, list):
            self.text += "["
            for number, item in enumerate(value):
                self.blank()
                self.value(item, (*place, number))
                self.blank()
                self.text += ","
            self.blank()
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{"
            for number, (key, item) in enumerate(value.items()):
                self.text += f"{', ' if number else ' '}{_quote(key)} = "
                self.value(item, (*place, key))
            self.text += " }"
        elif self.draw(st.booleans()) and "'" not in value:
            self.text += f"'''{value}'''"
        else:
            self.text += _quote(value)

    def table(self, table: dict[str, Any], place: Place) -> None:
        for key, value in table.items():
            if not (place == () and isinstance(value, dict)):
                self.text += f"{_quote(key)} = "
                self.value(value, (*place, key))
                self.text += "\n"
        for key, value in table.items():
            if place == () and isinstance(value, dict):
                self.blank()
                self.text += "\n"
                self.lines[(key,)] = self.text.count("\n") + 1
                self.text += f"[ {_quote(key)} ] # comment\n"
                self.table(value, (key,))


TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(KEYS, TREES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.data(), DOCUMENTS)
def test_any_document_written_in_any_way_is_found_where_it_was_written(
    data: Any, document: dict[str, Any]
) -> None:
    writer = Writer(data.draw)
    writer.table(document, ())
    assert tomllib.loads(writer.text) == document
    assert lines_of(writer.text) == writer.lines


def test_a_place_is_spelled_as_it_would_be_written() -> None:
    assert spell(("zones", "printers", 1)) == "zones.printers[1]"
    assert spell(("hosts", "acme/web", 0)) == 'hosts."acme/web"[0]'
    assert spell(("extra", 0, "from")) == "extra[0].from"


@settings(max_examples=300, deadline=None)
@given(st.lists(DOCUMENTS, min_size=1, max_size=3))
def test_what_is_left_after_merging_is_found_in_the_source_it_came_from(
    documents: list[dict[str, Any]],
) -> None:
    layers = [Layer(name=str(number), data=document) for number, document in enumerate(documents)]
    merged = merge(layers)
    for place in _places(merged):
        value = _at(merged, place)
        if not isinstance(value, dict):
            assert _at(origin(layers, place).data, place) == value


def test_what_nobody_says_belongs_to_the_first_source() -> None:
    layers = [Layer(name="main", data={"a": 1}), Layer(name="later", data={"b": 1})]
    assert origin(layers, ("role",)).name == "main"
    assert origin(layers, ("b", "missing")).name == "later"


def test_a_list_that_replaces_another_answers_for_what_it_lacks() -> None:
    layers = [
        Layer(name="main", data={"extra": [{"port": 1, "reason": "x"}]}),
        Layer(name="later", data={"extra": [{"port": 1}]}),
    ]
    assert origin(layers, ("extra", 0, "reason")).name == "later"


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value

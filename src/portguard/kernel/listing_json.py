"""Decode a listing of nft without ever holding a large set as objects.

``json.loads`` of 100,000 networks takes 60 MB for a moment, and most of that is not given back for long. So the elements of
large sets are taken out of the text before it is decoded, and stay text (see ``model/elements.py``).
"""

from __future__ import annotations

import gc
import json
import re
from typing import TYPE_CHECKING

from portguard.model.elements import Elements

if TYPE_CHECKING:
    from portguard.model.ruleset import Json

LARGE = 1 << 19
"""Characters from which on a listing is looked through for large sets: some 25,000 addresses, or 3,000 rules."""
_PIECE = 1 << 16
"""Characters of elements that are decoded at once; a set with fewer is left alone."""
_ELEMENTS = re.compile(r'"elem": \[')
_KINDS = ('{"set": {"family": ', '{"map": {"family": ')
"""How a set begins, as opposed to a statement that adds to one; inside of strings, quotes are escaped."""
_BORDERS = {'"': '", "', "{": "}, {", "[": "], ["}
"""What stands between two elements, by the beginning of the first; also inside of some, which decoding finds out."""
_DECODER = json.JSONDecoder()


def decode(text: str) -> Json:
    """Decode a listing. Raises ValueError for what is not JSON."""
    if len(text) < LARGE:
        return json.loads(text)
    collecting = gc.isenabled()
    # What comes out of JSON has no cycles, and looking for them takes twice as long as decoding.
    gc.disable()
    try:
        return _decoded(text)
    finally:
        if collecting:
            gc.enable()


def _decoded(text: str) -> Json:
    """Decode it in two parts: elements of large sets, and the rest."""
    taken: list[Elements] = []
    parts: list[str] = []
    done = 0
    while (found := _ELEMENTS.search(text, done)) is not None:
        elements, end = _taken(text, found.start(), found.end())
        if elements is None:
            parts.append(text[done:end])
        else:
            parts.append(f'{text[done : found.start()]}"elem": {len(taken)}')
            taken.append(elements)
        done = end
    document = json.loads("".join((*parts, text[done:])))
    del parts
    for one in document["nftables"] if taken else ():
        for kind, body in one.items():
            if kind in {"set", "map"} and isinstance(body.get("elem"), int):
                body["elem"] = taken[body["elem"]]
    return document


def _taken(text: str, at: int, first: int) -> tuple[Elements | None, int]:
    """Take out the elements that begin here; None where they are few, or not those of a set. Gives where to go on."""
    begun = max(text.rfind(kind, 0, at) for kind in _KINDS)
    try:
        json.loads(f'{text[begun:at]}"elem": []}}}}')
    except ValueError:
        return None, first
    return _elements(text, first)


def _elements(text: str, at: int) -> tuple[Elements | None, int]:
    """Decode elements up to the bracket that closes them, and forget what they say."""
    border = _BORDERS.get(text[at : at + 1], "")
    pieces: list[str] = []
    length = 0
    while border and (end := text.find(border, at + _PIECE)) != -1:
        piece = text[at : end + 1]
        try:
            length += len(json.loads(f"[{piece}]"))
        except ValueError:
            break  # The list ends before, or this is no border: what is left is decoded at once.
        pieces.append(piece)
        at = end + 3
    if not pieces:
        return None, at
    last, end = _DECODER.raw_decode(f"[{text[at:]}")
    return Elements([*pieces, text[at : at + end - 2]], length + len(last)), at + end - 1

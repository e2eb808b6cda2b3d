"""Long lists of set elements, kept as the JSON that nft printed.

As Python objects 100,000 networks take 60 MB, as text 4. They are decoded piece by piece whenever somebody goes through
them, which is seldom: what a set means for a path is kept by the evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Iterator


class Elements(Sequence[Any]):
    """Elements of a set in nft's order; equal when nft printed the same."""

    __slots__ = ("_length", "_pieces")

    def __init__(self, pieces: Sequence[str], length: int) -> None:
        """Keep pieces of a JSON list, each with whole elements and without brackets; ``length`` is how many there are."""
        self._pieces = tuple(pieces)
        self._length = length

    def __len__(self) -> int:
        """How many elements there are."""
        return self._length

    def __iter__(self) -> Iterator[Any]:
        """Decode the elements, piece by piece."""
        for piece in self._pieces:
            yield from json.loads(f"[{piece}]")

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Decode all elements and pick: for the odd question only."""
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        """Compare as text."""
        return isinstance(other, Elements) and self._pieces == other._pieces

    def __hash__(self) -> int:
        """Hash as text."""
        return hash(self._pieces)

    def __repr__(self) -> str:
        """Say how many there are."""
        return f"<{self._length} elements>"

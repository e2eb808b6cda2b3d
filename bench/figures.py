"""Figures: what was measured of whom, how often, and whether it is as good as it should be. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Repetitions of one measurement, sorted."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Samples:
        """Sort the values. Raises ValueError when there are none: nothing measured is not zero."""
        ordered = tuple(sorted(values))
        if not ordered:
            raise ValueError("nothing was measured")
        return cls(values=ordered)

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def p90(self) -> float:
        """The smallest value that nine of ten do not exceed."""
        return self.values[math.ceil(0.9 * len(self.values)) - 1]

    @property
    def most(self) -> float:
        """The worst."""
        return self.values[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of a table."""

    case: str
    """What was measured: rows of one case stand together."""
    subject: str
    """Of whom: ``portguard``, or what it is compared with."""
    unit: str
    samples: Samples | None
    """None: it could not be had, and ``note`` says why."""
    aim: float | None = None
    """The median should not be above this."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median is within the aim; None when there is no aim or no measurement."""
        if self.aim is None or self.samples is None:
            return None
        return self.samples.median <= self.aim

    def as_json(self) -> dict[str, Any]:
        """Spell it for a file, with every sample."""
        found = self.samples
        return {
            "case": self.case,
            "subject": self.subject,
            "unit": self.unit,
            "n": len(found.values) if found else 0,
            "median": found.median if found else None,
            "p90": found.p90 if found else None,
            "max": found.most if found else None,
            "aim": self.aim,
            "met": self.met,
            "note": self.note,
            "samples": list(found.values) if found else [],
        }


def parse(document: dict[str, Any]) -> Figure:
    """Read what :meth:`Figure.as_json` wrote."""
    return Figure(
        case=document["case"],
        subject=document["subject"],
        unit=document["unit"],
        samples=Samples.of(document["samples"]) if document["samples"] else None,
        aim=document["aim"],
        note=document["note"],
    )


def absent(case: str, subject: str, unit: str, why: str) -> Figure:
    """Stand for a measurement that could not be made."""
    return Figure(case=case, subject=subject, unit=unit, samples=None, note=why)

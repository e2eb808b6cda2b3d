"""Durations on the command line: seconds, or ``90s``, ``10m``, ``1h 30m``, ``2d``."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd])\s*"


def duration(least: float, most: float) -> Callable[[str], float]:
    """Make a reader for argparse, of durations between two numbers of seconds."""

    def read(text: str) -> float:
        word = text.strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,3})?", word):
            seconds = float(word)
        elif re.fullmatch(f"(?:{_PART})+", word):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, word))
        else:
            raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 120, 90s or 10m")
        if not least <= seconds <= most:
            raise argparse.ArgumentTypeError(f"{text!r} does not lie between {least:g} s and {most:g} s")
        return seconds

    return read

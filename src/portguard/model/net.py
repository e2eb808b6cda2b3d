"""Transports, port ranges and sets of addresses."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

Intervals = tuple[tuple[int, int], ...]
"""Closed integer intervals, sorted, disjoint and not adjacent."""

_LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
_BEYOND = 1 << 129
"""Above every number, so that ``(n, _BEYOND)`` sorts behind all intervals that begin with n."""


class Transport(StrEnum):
    """What carries a flow. ``BOTH`` and ``UNKNOWN`` are for what documents say; a service has one protocol."""

    TCP = "tcp"
    UDP = "udp"
    BOTH = "tcp+udp"
    ICMP = "icmp"
    UNKNOWN = "unknown"

    def each(self) -> tuple[Transport, ...]:
        """Single protocols that it stands for; none when the document does not say."""
        if self is Transport.BOTH:
            return (Transport.TCP, Transport.UDP)
        return () if self is Transport.UNKNOWN else (self,)


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= 65535:
            raise ValueError(
                f"ports {self.first}-{self.last} do not lie between 1 and 65535, in rising order"
            )

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read ``8001`` or ``"20-21"``. Raises ValueError with a message for people."""
        if isinstance(text, bool):
            raise ValueError(f"{text!r} is not a port")  # noqa: TRY004 - one kind of error for the caller
        first, _, last = str(text).partition("-")
        try:
            start, end = int(first), int(last or first)
        except ValueError:
            raise ValueError(f"{text!r} is neither a port nor a range of ports such as 20-21") from None
        for number in (start, end):
            if not 1 <= number <= 65535:
                raise ValueError(f"port {number} does not lie between 1 and 65535")
        if start > end:
            raise ValueError(f"range {text} runs backwards")
        return cls(start, end)

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def union(left: Intervals, right: Intervals) -> Intervals:
    """All numbers of either side."""
    return merge((*left, *right)) if left and right else left or right


def merge(pairs: Iterable[tuple[int, int]]) -> Intervals:
    """Bring intervals in any order into the normal form of :data:`Intervals`.

    Here and below an interval that stays what it was stays the same object: large sets share theirs.
    """
    out: list[tuple[int, int]] = []
    for pair in sorted(pairs):
        if out and pair[0] <= out[-1][1] + 1:
            if pair[1] > out[-1][1]:
                out[-1] = (out[-1][0], pair[1])
        else:
            out.append(pair)
    return tuple(out)


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """Numbers on both sides. Costs what the shorter side costs, so a zone against a huge set stays cheap."""
    if len(left) > len(right):
        left, right = right, left
    if not left or left[0][0] > right[-1][1] or left[-1][1] < right[0][0]:
        return ()
    if left[0][0] <= right[0][0] and left[0][1] >= right[-1][1]:
        return right
    out: list[tuple[int, int]] = []
    if _much_longer(right, left):
        for low, high in left:
            first, last = _touching(right, low, high)
            if first < last:
                at = len(out)
                out += right[first:last]
                out[at] = (max(low, out[at][0]), out[at][1])
                out[-1] = (out[-1][0], min(high, out[-1][1]))
        return tuple(out)
    at = 0
    for low, high in left:
        while at < len(right) and right[at][1] < low:
            at += 1
        j = at
        while j < len(right) and right[j][0] <= high:
            pair = right[j]
            whole = low <= pair[0] and pair[1] <= high
            out.append(pair if whole else (max(low, pair[0]), min(high, pair[1])))
            j += 1
    return tuple(out)


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Numbers of the left side that the right side does not hold. What the right side leaves alone is copied whole."""
    if not left or not right:
        return left
    if left == right:
        return ()
    out: list[tuple[int, int]] = []
    if _much_longer(left, right):
        done = 0
        for low, high in right:
            first, last = _touching(left, low, high)
            out += left[done:first]
            # The interval at ``done`` may be what an interval before left of its end.
            if first < last:
                start, end = left[first][0], left[last - 1][1]
                if first < done:
                    start = out.pop()[0]
                if start < low:
                    out.append((start, low - 1))
                if end > high:
                    out.append((high + 1, end))
            done = max(done, last)
        out += left[done:]
        return tuple(out)
    at = 0
    for pair in left:
        start, high = pair
        while at < len(right) and right[at][1] < start:
            at += 1
        j = at
        while j < len(right) and right[j][0] <= high:
            if right[j][0] > start:
                out.append((start, right[j][0] - 1))
            start = right[j][1] + 1
            if start > high:
                break
            j += 1
        if start <= high:
            out.append(pair if start == pair[0] else (start, high))
    return tuple(out)


def _much_longer(one: Intervals, other: Intervals) -> bool:
    """Whether searching the one for each interval of the other is cheaper than walking along both."""
    return len(one) > 8 * len(other)


def _touching(intervals: Intervals, low: int, high: int) -> tuple[int, int]:
    """Slice of the intervals that have numbers from low to high."""
    first = bisect_right(intervals, (low, _BEYOND)) - 1
    if first < 0 or intervals[first][1] < low:
        first += 1
    return first, bisect_right(intervals, (high, _BEYOND))


@dataclass(frozen=True, slots=True)
class AddressSet:
    """A set of IPv4 and IPv6 addresses, as intervals of integers per version."""

    v4: Intervals = ()
    v6: Intervals = ()

    @classmethod
    def of(cls, *networks: IPNetwork | str) -> Self:
        """Collect networks or addresses (``10.1.0.0/16``, ``::1``). Raises ValueError on host bits or nonsense."""
        pairs: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for item in networks:
            net = ipaddress.ip_network(item) if isinstance(item, str) else item
            pairs[net.version].append((int(net.network_address), int(net.broadcast_address)))
        return cls(merge(pairs[4]), merge(pairs[6]))

    def version(self, version: int) -> Intervals:
        """Intervals of one IP version, 4 or 6."""
        return self.v4 if version == 4 else self.v6

    def __or__(self, other: AddressSet) -> AddressSet:
        return AddressSet(union(self.v4, other.v4), union(self.v6, other.v6))

    def __and__(self, other: AddressSet) -> AddressSet:
        return AddressSet(intersect(self.v4, other.v4), intersect(self.v6, other.v6))

    def __sub__(self, other: AddressSet) -> AddressSet:
        return AddressSet(subtract(self.v4, other.v4), subtract(self.v6, other.v6))

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def __contains__(self, address: IPAddress) -> bool:
        number = int(address)
        return bool(intersect(self.version(address.version), ((number, number),)))

    def networks(self) -> Iterator[IPNetwork]:
        """Smallest list of networks that make up the set, IPv4 first, rising."""
        for low, high in self.v4:
            yield from ipaddress.summarize_address_range(
                ipaddress.IPv4Address(low), ipaddress.IPv4Address(high)
            )
        for low, high in self.v6:
            yield from ipaddress.summarize_address_range(
                ipaddress.IPv6Address(low), ipaddress.IPv6Address(high)
            )

    def __str__(self) -> str:
        if self == EVERYTHING:
            return "any address"
        names = [
            str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)
            for net in self.networks()
        ]
        return ", ".join(names) if names else "nobody"


EVERYTHING = AddressSet(((0, _LAST[4]),), ((0, _LAST[6]),))
"""Every address of both versions."""

LOOPBACK = AddressSet.of("127.0.0.0/8", "::1")
"""Addresses that never leave the host."""

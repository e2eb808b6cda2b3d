"""Netlink's framing, fed with bytes as the kernel sends them."""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.errors import ObserveError
from portguard.kernel import netlink
from portguard.kernel.netlink import HEADER, attributes, distinct, messages, request, string

if TYPE_CHECKING:
    from collections.abc import Iterator


def message(kind: int, payload: bytes, *, flags: int = 0, sequence: int = 0, port: int = 0) -> bytes:
    padding = bytes(-len(payload) % 4)
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, port) + payload + padding


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


class Kernel:
    """Answers requests on the other end of a socket pair."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()

    def answers(self, *payloads: bytes) -> None:
        """Make the next request be answered, by messages that take its sequence number."""
        send, ours = socket.socket.send, self.ours
        theirs = self._theirs

        class Answering:
            def send(self, data: bytes) -> None:
                sequence = HEADER.unpack_from(data)[3]
                for payload in payloads:
                    send(theirs, payload.replace(b"SEQ!", struct.pack("=I", sequence)))

            def recv(self, size: int) -> bytes:
                return ours.recv(size)

        self.socket = Answering()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with closing(Kernel()) as made:
        yield made


def answer(kind: int, payload: bytes, *, flags: int = 0) -> bytes:
    """Make a message whose sequence number is filled in when it is sent."""
    whole = bytearray(message(kind, payload, flags=flags))
    whole[8:12] = b"SEQ!"
    return bytes(whole)


def ask(kernel: Kernel, *, dump: bool = True) -> list[bytes]:
    found = request(kernel.socket, 20, b"", dump=dump)  # type: ignore[arg-type]
    return [bytes(one.payload) for one in found]


DONE = answer(netlink.NLMSG_DONE, struct.pack("=i", 0))


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=8))
def test_a_datagram_is_taken_apart_as_it_was_put_together(parts: list[tuple[int, bytes]]) -> None:
    datagram = b"".join(message(kind, payload) for kind, payload in parts)

    assert [(one.type, bytes(one.payload)) for one in messages(datagram)] == parts


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_are_taken_apart_as_they_were_put_together(parts: list[tuple[int, bytes]]) -> None:
    payload = b"head" + b"".join(attribute(kind, value) for kind, value in parts)

    assert [(kind, bytes(value)) for kind, value in attributes(memoryview(payload), 4)] == parts


def test_the_flag_bits_of_an_attribute_do_not_belong_to_its_type() -> None:
    payload = memoryview(attribute(0x8000 | 5, b"x"))

    assert [kind for kind, _ in attributes(payload, 0)] == [5]


@given(st.integers(1, 27))
def test_a_datagram_that_is_cut_off_is_an_error(cut: int) -> None:
    whole = message(1, b"complete") + message(2, b"broken off..")

    with pytest.raises(ObserveError, match="cut off"):
        list(messages(whole[:-cut]))


@given(st.binary(max_size=200))
def test_any_bytes_are_either_messages_or_an_error(data: bytes) -> None:
    try:
        for one in messages(data):
            list(attributes(one.payload, 0))
    except ObserveError:
        pass


def test_a_string_ends_at_its_zero_and_keeps_what_is_not_text_readable() -> None:
    assert string(memoryview(b"filter\0junk")) == "filter"
    assert string(memoryview(b"\xff\0")) == "\\xff"


class TestRequest:
    """Answers, and what is no answer."""

    def test_a_dump_goes_on_over_datagrams_until_it_is_done(self, kernel: Kernel) -> None:
        kernel.answers(answer(20, b"1") + answer(20, b"2"), answer(20, b"3"), DONE)

        assert ask(kernel) == [b"1", b"2", b"3"]

    def test_a_dump_that_fails_at_its_end_is_an_error(self, kernel: Kernel) -> None:
        kernel.answers(answer(20, b"1"), answer(netlink.NLMSG_DONE, struct.pack("=i", -2)))

        with pytest.raises(FileNotFoundError):
            ask(kernel)

    def test_a_refused_request_is_an_error(self, kernel: Kernel) -> None:
        kernel.answers(answer(netlink.NLMSG_ERROR, struct.pack("=i", -1)))

        with pytest.raises(PermissionError):
            ask(kernel)

    def test_a_dump_during_which_objects_changed_is_an_error(self, kernel: Kernel) -> None:
        kernel.answers(answer(20, b"1", flags=netlink.NLM_F_DUMP_INTR), DONE)

        with pytest.raises(InterruptedError):
            ask(kernel)

    def test_what_is_left_of_an_earlier_answer_is_skipped(self, kernel: Kernel) -> None:
        kernel.answers(message(20, b"old", sequence=0), answer(20, b"new"), DONE)

        assert ask(kernel) == [b"new"]

    def test_a_single_answer_needs_no_end(self, kernel: Kernel) -> None:
        kernel.answers(answer(20, b"1"))

        assert ask(kernel, dump=False) == [b"1"]


class TestDistinct:
    """Leaving out what begins as the one before."""

    def test_of_many_announcements_of_one_table_one_is_given_and_of_each_other_table_one(self) -> None:
        ours = [message(1, b"fix!" + attribute(1, b"ours") + attribute(2, bytes([n]))) for n in range(5)]
        theirs = [message(1, b"fix!" + attribute(1, b"theirs") + attribute(2, bytes([n]))) for n in range(5)]

        found = list(distinct(b"".join(ours + theirs + ours), 4, {}))

        assert [bytes(row.payload[8:12]) for row in found] == [b"ours", b"thei", b"ours"]

    def test_another_type_or_another_fixed_part_is_another_announcement(self) -> None:
        rows = [
            message(1, b"fix!" + attribute(1, b"ours")),
            message(2, b"fix!" + attribute(1, b"ours")),
            message(1, b"FIX!" + attribute(1, b"ours")),
        ]

        assert [row.type for row in distinct(b"".join(rows), 4, {})] == [1, 2, 1]

    def test_what_was_given_before_is_remembered_over_datagrams_until_the_caller_forgets_it(self) -> None:
        datagram, heads = message(1, b"fix!" + attribute(1, b"ours")), dict[int, bytes]()

        assert len(list(distinct(datagram, 4, heads))) == 1
        assert not list(distinct(datagram, 4, heads))
        heads.clear()
        assert len(list(distinct(datagram, 4, heads))) == 1

    def test_a_name_that_another_one_begins_with_is_another_name(self) -> None:
        rows = [message(1, b"fix!" + attribute(1, name)) for name in (b"ours\0", b"ours2\0", b"ours\0")]

        assert len(list(distinct(b"".join(rows), 4, {}))) == 3

    @given(st.lists(st.binary(max_size=12), min_size=1, max_size=6), st.data())
    def test_a_message_that_is_cut_off_is_noticed(self, payloads: list[bytes], data: st.DataObject) -> None:
        # No padding behind the last one, which may be missing.
        whole = b"".join(message(1, payload + bytes(-len(payload) % 4)) for payload in payloads)
        cut = data.draw(st.integers(len(whole) - HEADER.size + 1, len(whole) - 1))

        with pytest.raises(ObserveError, match="cut off"):
            list(distinct(whole[:cut], 4, {}))

"""What the answers of Redis and RMI mean; bytes of a stranger's server, whatever they are."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.exposure.handshakes import (
    greeted_by_rmi,
    greeting,
    printable,
    redis_answer,
    registry_list,
    registry_names,
)

HEAD = (
    b"Q\xac\xed\x00\x05w\x0f\x01\xa6\xe0\xc8\x83\x00\x00\x01\xa1\xfe\x1e~\xeb\x80\x03ur\x00\x13[Ljava.lang.String;"
    b"\xad\xd2V\xe7\xe9\x1d{G\x02\x00\x00"
)
"""As OpenJDK 17 and 25 begin their answer to ``list()``."""


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (b"+PONG\r\n", "open"),
        (b"-NOAUTH Authentication required.\r\n", "password"),
        (b"-DENIED Redis is running in protected mode because ...\r\n", "denied"),
        (b"-NOPERM this user has no permissions to run the 'ping' command\r\n", "restricted"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "open"),
        (b"HTTP/1.1 400 Bad Request\r\n", None),
        (b"+OK\r\n", None),
        (b"-ERR something else\r\n", None),
        (b"", None),
    ],
)
def test_an_answer_to_ping(answer: bytes, meaning: str | None) -> None:
    assert redis_answer(answer) == meaning


def test_the_call_of_the_registry_is_what_java_sends() -> None:
    assert registry_list("10.1.0.1") == bytes.fromhex(
        "0008 31302e312e302e31 00000000 50 aced0005 77 22"
        "0000000000000000 00000000 0000000000000000 0000 00000001 44154dc9d4e63bdf".replace(" ", "")
    )


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        (b"pxp\x00\x00\x00\x01t\x00\x06jmxrmi", ("jmxrmi",)),
        (b"xp\x00\x00\x00\x02t\x00\x01at\x00\x01b", ("a", "b")),
        (b"t\x00\x08http://xxp\x00\x00\x00\x01t\x00\x06jmxrmi", ("jmxrmi",)),
        (b"pxp\x00\x00\x00\x00", ()),
        (b"pxp\xff\xff\xff\xfft\x00\x01a", ("a",)),
        (b"pxp\x00\x00\x00\x01t\x00\x05a\n\x1bb\x00", ("a",)),
        (b"p", None),
    ],
)
def test_the_names_of_a_registry(rest: bytes, names: tuple[str, ...] | None) -> None:
    assert registry_names(HEAD + rest) == names


def test_an_exception_is_no_registry() -> None:
    assert (
        registry_names(
            b"Q\xac\xed\x00\x05w\x0f\x02" + b"x" * 14 + b"sr\x00\x1fjava.rmi.NoSuchObjectException"
        )
        is None
    )


def test_the_greeting_of_rmi() -> None:
    assert greeted_by_rmi(b"N\x00\x0910.1.0.11\x00\x00\xeb\x82")
    assert not greeted_by_rmi(b"N\x00\x0910.1.0.11\x00\x00\xeb")
    assert not greeted_by_rmi(b"NOT HERE")
    assert not greeted_by_rmi(b"")


@given(st.binary(max_size=400))
def test_no_answer_breaks_anything(answer: bytes) -> None:
    for content in (answer, HEAD + answer):
        redis_answer(content)
        greeting(content)
        greeted_by_rmi(content)
        for name in registry_names(content) or ():
            assert name.isprintable()
        assert printable(content).isprintable()
        assert len(printable(content)) <= 80


def test_the_daemon_cannot_ask_anybody() -> None:
    code = (
        "import sys; import portguard.cli.run, portguard.daemon.loop, portguard.daemon.site, portguard.kernel.real;"
        " print([name for name in ('portguard.exposure.probe', 'portguard.exposure.handshakes', 'ssl')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

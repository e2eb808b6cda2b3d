"""Arguments and files say what guards a Redis; what they leave open is unknown."""

from __future__ import annotations

import pytest

from portguard.exposure.redis_options import RedisOptions, options_of
from portguard.model.exposure import Protection


def told(line: str, files: dict[str, str] | None = None, *, sentinel: bool = False) -> RedisOptions:
    return options_of(line.split(), (files or {}).get, sentinel=sentinel)


def guard(options: RedisOptions, port: int = 6379, *, honours_bind: bool = True) -> Protection:
    return options.protection(port, honours_bind=honours_bind)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Protection.REFUSES_STRANGERS),
        ("--protected-mode no", Protection.NONE),
        ("--protected-mode no --requirepass x", Protection.PASSWORD),
        ("--requirepass x", Protection.PASSWORD),
        ("--PROTECTED-MODE NO", Protection.NONE),
        ("-", Protection.UNKNOWN),
        ("missing.conf", Protection.UNKNOWN),
        ("--protected-mode no --user default on >x ~* +@all", Protection.PASSWORD),
        ("--protected-mode no --user default off nopass", Protection.PASSWORD),
        ("--protected-mode no --requirepass x --user default on nopass ~* +@all", Protection.NONE),
        ("--protected-mode no --user other on >x", Protection.NONE),
    ],
)
def test_arguments_say_what_guards_the_port(line: str, expected: Protection) -> None:
    assert guard(told(line)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("protected-mode no\n# requirepass x\n", Protection.NONE),
        ('protected-mode no\nrequirepass ""\n', Protection.NONE),
        ("requirepass x\nrequirepass ''\nprotected-mode no", Protection.NONE),
        ("requirepass 'unfinished", Protection.UNKNOWN),
        ("include more.conf\nprotected-mode no", Protection.PASSWORD),
        ("include missing.conf\nprotected-mode no", Protection.UNKNOWN),
        ("include *.conf\nprotected-mode no", Protection.UNKNOWN),
        ("aclfile users.acl\nprotected-mode no", Protection.PASSWORD),
        ("aclfile missing.acl\nprotected-mode no", Protection.UNKNOWN),
        ("include self.conf", Protection.UNKNOWN),
    ],
)
def test_files_say_what_guards_the_port(text: str, expected: Protection) -> None:
    files = {
        "redis.conf": text,
        "self.conf": "include self.conf",
        "more.conf": "requirepass x",
        "users.acl": "user other on nopass\nuser default on #abcd ~* +@all",
    }

    assert guard(told("redis.conf", files)) is expected


def test_an_argument_outweighs_the_file() -> None:
    files = {"redis.conf": "port 7000\nrequirepass x\nprotected-mode no"}

    assert guard(told("redis.conf --port 7001 --requirepass ", files), 7001) is Protection.NONE
    assert told("redis.conf --port 7001", files).ports == {7001}


def test_the_tls_port_asks_for_certificates_unless_told_not_to() -> None:
    assert guard(told("--port 0 --tls-port 7000"), 7000) is Protection.CERTIFICATE
    assert (
        guard(told("--tls-port 7000 --tls-auth-clients optional --protected-mode no"), 7000) is Protection.TLS
    )
    line = "--tls-port 7000 --tls-auth-clients no --requirepass x"
    assert guard(told(line), 7000) is Protection.PASSWORD_TLS
    assert guard(told(line), 6379) is Protection.PASSWORD
    assert guard(told("--tls-port 7000 --tls-auth-clients no"), 7000) is Protection.REFUSES_STRANGERS


def test_neither_password_nor_protected_mode_guards_the_cluster_bus() -> None:
    options = told("--port 7000 --cluster-enabled yes --requirepass x")

    assert options.ports == {7000, 17000}
    assert guard(options, 17000) is Protection.NONE
    assert (
        guard(told("--tls-port 7000 --tls-cluster yes --cluster-enabled yes"), 17000)
        is Protection.CERTIFICATE
    )
    assert told("--cluster-enabled yes --cluster-port 7777").bus == 7777


def test_protected_mode_of_versions_that_give_it_up_for_an_address_is_unknown() -> None:
    assert guard(told("--bind 0.0.0.0"), honours_bind=False) is Protection.UNKNOWN
    assert guard(told(""), honours_bind=False) is Protection.REFUSES_STRANGERS


def test_a_sentinel_has_no_protected_mode_by_itself() -> None:
    assert told("--sentinel").port == 26379
    assert guard(told("", sentinel=True), 26379) is Protection.NONE


def test_no_password_is_kept() -> None:
    options = told("--requirepass hunter2 --user default on >hunter2")

    assert "hunter2" not in repr(options)

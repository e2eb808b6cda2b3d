"""Ask a port of this host what it answers a stranger. On an operator's request only; the daemon never imports this.

The connection comes from the host's own address on the network, not from loopback: Redis' protected mode and much else makes
exceptions for loopback. It does not pass the firewall as a stranger's would: that is what ``portguard why`` tells.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.exposure import handshakes
from portguard.model.exposure import Application, Protection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.net import IPAddress

_BANNER = 0.15
"""Seconds in which a server that speaks first has spoken."""
_LARGEST = 1 << 16
_REDIS = (Application.REDIS, Application.REDIS_SENTINEL, Application.REDIS_CLUSTER)
_RMI = (Application.JMX, Application.JMX_RMI, Application.JMX_LOCAL)
_REFUSALS = ("certificate required", "handshake failure", "bad certificate", "certificate unknown")
_NAME = "jmxrmi"
"""What a JMX agent is bound as in its registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one port answered on one address."""

    application: str | None
    """What spoke; None where nothing that is known did."""
    protection: Protection
    said: str
    """For people: what it answered."""
    sent: tuple[str, ...]
    """Everything that was sent, in order."""
    answered: bool = True
    """False: no connection, or not a byte; nothing is concluded."""


class _RefusedError(Exception):
    """A server wants a certificate, or closes the connection before anything is said."""


class _Probe:
    """Makes one connection after the other to one port."""

    def __init__(self, address: IPAddress, port: int, patience: float) -> None:
        self._address = address
        self._port = port
        self._patience = patience
        self._tls = False
        self.sent: list[str] = []

    def ask(self, suspected: Application | None, *, jdwp: bool) -> Answer:
        """Ask in the order that disturbs least; a suspicion leaves out what it rules out."""
        if suspected is Application.JDWP or (suspected is None and jdwp):
            answer = self._jdwp() if jdwp else None
            if answer is not None:
                return answer
            if suspected is Application.JDWP:
                said = "not asked: a debugger serves one client at a time, and any other greeting may end it; --jdwp asks"
                return self._answer("jdwp", Protection.UNKNOWN, said, answered=False)
        answer = self._plain(suspected)
        if answer is None and self._speaks_tls():
            self._tls = True
            answer = self._plain(suspected) or self._answer(
                "tls", Protection.TLS, "speaks TLS, and nothing known inside it"
            )
        if answer is None:
            return self._answer(None, Protection.UNKNOWN, "no answer that is known", answered=False)
        return answer

    def _plain(self, suspected: Application | None) -> Answer | None:
        """Say what is known in the clear, or inside TLS once that was found; None where nothing answers."""
        try:
            answer = None
            if suspected not in _RMI:
                answer = self._ping()
            if answer is None and suspected not in _REDIS:
                answer = self._rmi()
        except _RefusedError:
            return self._answer("tls", Protection.CERTIFICATE, "wants a client's certificate")
        return answer

    def _ping(self) -> Answer | None:
        with self._connection() as line:
            first = self._receive(line, _BANNER)
            if not first:
                self._send(line, handshakes.PING, "PING")
                first = self._receive(line, self._patience)
        spoken = handshakes.redis_answer(first)
        if spoken is not None:
            protections = {
                "open": Protection.TLS if self._tls else Protection.NONE,
                "restricted": Protection.UNKNOWN,
                "password": Protection.PASSWORD_TLS if self._tls else Protection.PASSWORD,
                "denied": Protection.REFUSES_STRANGERS,
            }
            return self._answer("redis", protections[spoken], handshakes.printable(first))
        name = handshakes.greeting(first)
        return self._answer(name, Protection.UNKNOWN, handshakes.printable(first)) if name else None

    def _rmi(self) -> Answer | None:
        with self._connection() as line:
            self._send(line, handshakes.JRMI, "greeting of RMI")
            if not handshakes.greeted_by_rmi(self._receive(line, self._patience)):
                return None
            self._send(line, handshakes.registry_list(str(self._address)), "list() of the RMI registry")
            names = handshakes.registry_names(self._receive(line, self._patience))
        if names is None:
            return self._answer("rmi", Protection.UNKNOWN, "an RMI server, but no registry")
        jmx = _NAME in names
        said = f"a registry with {', '.join(names) or 'nothing'}, read without a password"
        return self._answer("jmx" if jmx else "rmi", Protection.UNKNOWN, said)

    def _jdwp(self) -> Answer | None:
        with self._connection() as line:
            self._send(line, handshakes.JDWP, "greeting of JDWP")
            if self._receive(line, self._patience) != handshakes.JDWP:
                return None
        return self._answer("jdwp", Protection.NONE, "a debugger answers: whoever connects runs code")

    def _speaks_tls(self) -> bool:
        """Whether a TLS handshake gets anywhere, be it to the demand for a certificate."""
        self.sent.append("ClientHello of TLS")
        self._tls = True
        try:
            with self._connection():
                return True
        except _RefusedError:
            return True
        except OSError:
            return False
        finally:
            self._tls = False

    @contextlib.contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        family = socket.AF_INET if self._address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as line:
            line.settimeout(self._patience)
            # From the same address as a client of the network would see it, not from loopback.
            line.bind((str(self._address), 0))
            line.connect((str(self._address), self._port))
            if not self._tls:
                yield line
                return
            try:
                with _context().wrap_socket(line) as inside:
                    yield inside
            except ssl.SSLError as error:
                if any(word in str(error).lower().replace("_", " ") for word in _REFUSALS):
                    raise _RefusedError from error
                raise

    def _send(self, line: socket.socket, what: bytes, name: str) -> None:
        self.sent.append(f"{name} in TLS" if self._tls else name)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(what)

    def _receive(self, line: socket.socket, patience: float) -> bytes:
        """Receive what comes until there is a pause; empty for silence and for a closed connection."""
        until = time.monotonic() + patience
        content = b""
        while len(content) < _LARGEST and (left := until - time.monotonic()) > 0:
            line.settimeout(left if not content else min(left, _BANNER))
            try:
                more = line.recv(4096)
            except (TimeoutError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                break
            if not more:
                break
            content += more
        line.settimeout(self._patience)
        return content

    def _answer(
        self, application: str | None, protection: Protection, said: str, *, answered: bool = True
    ) -> Answer:
        return Answer(
            application=application,
            protection=protection,
            said=said,
            sent=tuple(self.sent),
            answered=answered,
        )


def probe(
    address: IPAddress,
    port: int,
    *,
    suspected: Application | None = None,
    jdwp: bool = False,
    patience: float = 1.0,
) -> Answer:
    """Ask one port on one of this host's own addresses. The caller vouches that it is one; ``patience`` is in seconds."""
    asking = _Probe(address, port, patience)
    try:
        return asking.ask(suspected, jdwp=jdwp)
    except OSError as error:
        said = f"no connection: {error.strerror or error}"
        return Answer(
            application=None,
            protection=Protection.UNKNOWN,
            said=said,
            sent=tuple(asking.sent),
            answered=False,
        )


def _context() -> ssl.SSLContext:
    """A client that takes any certificate: it tells the server nothing, and believes nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

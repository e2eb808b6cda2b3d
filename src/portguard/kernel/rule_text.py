"""Read one rule from nft's text, as far as iptables-nft rules need it: libxtables' translations, as ``nft list`` prints them.

What is not read for certain is not read at all: the caller keeps the opaque JSON then, and the evaluation says unknown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.model.ruleset import Json

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}(),]|<=|>=|==|!=|<<|>>|[^\s{}(),"]+')
_PAYLOAD = {
    "ip": {"saddr", "daddr", "protocol", "ttl", "dscp", "length", "id", "version", "frag-off", "hdrlength"},
    "ip6": {"saddr", "daddr", "nexthdr", "hoplimit", "dscp", "length", "flowlabel"},
    "tcp": {"sport", "dport", "flags"},
    "udp": {"sport", "dport", "length"},
    "th": {"sport", "dport"},
    "sctp": {"sport", "dport"},
    "dccp": {"sport", "dport"},
    "udplite": {"sport", "dport"},
    "icmp": {"type", "code"},
    "icmpv6": {"type", "code"},
    "ether": {"saddr", "daddr", "type"},
}
_META = {
    "iif", "iifname", "iifgroup", "iiftype", "oif", "oifname", "oifgroup", "oiftype", "mark", "l4proto", "nfproto",
    "protocol", "pkttype", "length", "skuid", "skgid", "cgroup", "cpu", "hour", "day", "time", "priority",
}  # fmt: skip
_BARE_META = {
    "iif",
    "iifname",
    "oif",
    "oifname",
    "iifgroup",
    "oifgroup",
    "mark",
    "pkttype",
    "skuid",
    "skgid",
    "cpu",
    "cgroup",
}
_CT = {"state", "status", "mark", "direction", "helper", "expiration", "proto-src", "proto-dst", "saddr", "daddr",
       "protocol", "l3proto", "zone", "bytes", "packets", "avgpkt", "label"}  # fmt: skip
_OPERATORS = {"==", "!=", "<", ">", "<=", ">=", "!"}
_OPERATOR_WORDS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
"""As some matches of iptables are translated (``ip ttl lt 5``)."""
_VERDICTS = {"accept", "drop", "return", "continue"}


class _NotReadError(Exception):
    """The text has something that this reader does not know."""


def parse_rule(text: str) -> list[Json] | None:
    """Read a rule into the statements of libnftables' JSON; None when any part of it is not known."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(
        r"\s+", "", re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: m[0].replace(" ", "\0"), text)
    ).replace("\0", " "):
        return None
    reader = _Reader(tokens)
    try:
        return reader.rule()
    except (_NotReadError, IndexError, ValueError):
        return None


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def rule(self) -> list[Json]:
        out: list[Json] = []
        while self._at < len(self._tokens):
            out.extend(self._statement())
        return out

    def _peek(self, ahead: int = 0) -> str:
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *words: str) -> bool:
        """Pass over words when they come next."""
        if tuple(self._tokens[self._at : self._at + len(words)]) != words:
            return False
        self._at += len(words)
        return True

    def _statement(self) -> list[Json]:
        word = self._peek()
        if word in _VERDICTS:
            return [{self._next(): None}]
        if word in {"jump", "goto"}:
            return [{self._next(): {"target": self._next()}}]
        read = getattr(self, f"_read_{word.replace('-', '_')}", None)
        if read is not None:
            self._next()
            found: list[Json] = read()
            return found
        if self._take("meta", "mark", "set"):
            return [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": self._mark_value()}}]
        if self._take("ct", "mark", "set"):
            return [{"mangle": {"key": {"ct": {"key": "mark"}}, "value": self._mark_value()}}]
        return [self._match()]

    # Statements.

    def _read_counter(self) -> list[Json]:
        if not self._take("packets"):
            raise _NotReadError
        packets = int(self._next())
        if not self._take("bytes"):
            raise _NotReadError
        return [{"counter": {"packets": packets, "bytes": int(self._next())}}]

    def _read_comment(self) -> list[Json]:
        self._next()
        return []

    def _read_notrack(self) -> list[Json]:
        return [{"notrack": None}]

    def _read_masquerade(self) -> list[Json]:
        self._at = len(self._tokens)  # Flags and ports of a translation of the source decide nothing here.
        return [{"masquerade": None}]

    def _read_snat(self) -> list[Json]:
        self._at = len(self._tokens)
        return [{"snat": {}}]

    def _read_log(self) -> list[Json]:
        while self._peek() in {"prefix", "group", "snaplen", "queue-threshold", "level", "flags"}:
            self._next()
            self._next()
        return [{"log": None}]

    def _read_limit(self) -> list[Json]:
        if not self._take("rate"):
            raise _NotReadError
        over = self._take("over")
        rate, _, per = self._next().partition("/")
        out: dict[str, Json] = {"rate": int(rate), "per": per}
        if self._take("burst"):
            out["burst"] = int(self._next())
            if not self._take("packets"):
                raise _NotReadError
        return [{"limit": out | ({"inv": True} if over else {})}]

    def _read_reject(self) -> list[Json]:
        if not self._take("with"):
            return [{"reject": None}]
        if self._take("tcp", "reset"):
            return [{"reject": {"type": "tcp reset"}}]
        kind = self._next()
        self._take("type")
        if kind not in {"icmp", "icmpv6", "icmpx"}:
            raise _NotReadError
        return [{"reject": {"type": kind, "expr": self._next()}}]

    def _read_dnat(self) -> list[Json]:
        body: dict[str, Json] = {"family": self._next()} if self._peek() in {"ip", "ip6"} else {}
        if not self._take("to"):
            raise _NotReadError
        address, port = _target(self._next())
        body |= {"addr": address} if address is not None else {}
        body |= {"port": port} if port is not None else {}
        self._flags()
        return [{"dnat": body}]

    def _read_redirect(self) -> list[Json]:
        body: dict[str, Json] = {}
        if self._take("to"):
            address, port = _target(self._next())
            if address is not None or port is None:
                raise _NotReadError
            body["port"] = port
        self._flags()
        return [{"redirect": body or None}]

    def _read_xt(self) -> list[Json]:
        kind, name = self._next(), self._next().strip('"')
        if kind not in {"match", "target"}:
            raise _NotReadError
        return [{"xt": {"type": kind, "name": name}}]

    def _flags(self) -> None:
        while self._peek() in {"random", "fully-random", "persistent", ","}:
            self._next()

    def _mark_value(self) -> Json:
        """Read ``0x1``, or ``mark and 0xff00 xor 0x1`` (the older spelling of iptables)."""
        word = self._next()
        if word == "meta":
            word = self._next()
        if word == "ct" and self._take("mark"):
            value: Json = {"ct": {"key": "mark"}}
        elif word == "mark":
            value = {"meta": {"key": "mark"}}
        else:
            value = int(word, 0)
        signs = {"and": "&", "or": "|", "xor": "^", "&": "&", "|": "|", "^": "^"}
        while self._peek() in signs:
            value = {signs[self._next()]: [value, int(self._next(), 0)]}
        return value

    # Matches.

    def _match(self) -> Json:
        left = self._expression()
        flags = left == {"payload": {"protocol": "tcp", "field": "flags"}}
        if self._peek() in {"&", "and"}:
            self._next()
            left = {"&": [left, self._mask()]}
        op = None
        if self._peek() in _OPERATORS or self._peek() in _OPERATOR_WORDS:
            word = self._next()
            op = _OPERATOR_WORDS.get(word, word)
        right = self._right()
        if self._take("/"):
            # ``tcp flags syn / fin,syn,rst,ack``: of these flags exactly those.
            return {"match": {"op": op or "==", "left": {"&": [left, self._right()]}, "right": right}}
        several = left in ({"ct": {"key": "state"}}, {"ct": {"key": "status"}}) or flags
        default = "in" if several and not isinstance(right, dict) else "=="
        return {"match": {"op": op or default, "left": left, "right": right}}

    def _expression(self) -> Json:
        word = self._next()
        if word in _PAYLOAD and self._peek() in _PAYLOAD[word]:
            return {"payload": {"protocol": word, "field": self._next()}}
        if word == "meta" and self._peek() in _META:
            return {"meta": {"key": self._next()}}
        if word in _BARE_META:
            return {"meta": {"key": word}}
        if word == "ct":
            direction = self._next() if self._peek() in {"original", "reply"} else None
            family = f"{self._next()} " if self._peek() in {"ip", "ip6"} else ""
            key = self._next()
            if key not in _CT:
                raise _NotReadError
            return {"ct": {"key": family + key, **({"dir": direction} if direction else {})}}
        if word == "fib":
            return self._fib()
        raise _NotReadError

    def _fib(self) -> Json:
        flags = [self._next()]
        while self._take("."):
            flags.append(self._next())
        result = self._next()
        if result not in {"type", "oif", "oifname"}:
            raise _NotReadError
        return {"fib": {"result": result, "flags": flags}}

    def _mask(self) -> Json:
        if self._take("("):
            return self._alternatives()
        return _value(self._next())

    def _alternatives(self) -> list[Json]:
        """Read ``a|b|c)`` or ``a | b | c)``: flags of a mask."""
        words = ""
        while not self._take(")"):
            words += self._next()
        return [_value(word) for word in words.split("|")]

    def _right(self) -> Json:
        if self._take("{"):
            members = [_value(self._next())]
            while self._take(","):
                members.append(_value(self._next()))
            if not self._take("}"):
                raise _NotReadError
            return {"set": members}
        if self._take("("):
            return self._alternatives()
        members = [_value(self._next())]
        while self._take(","):
            members.append(_value(self._next()))
        return members if len(members) > 1 else members[0]


def _target(text: str) -> tuple[Json, Json]:
    """Read ``10.0.0.1:80``, ``[fd00::1]:80``, ``:80-90`` into address and port."""
    found = re.fullmatch(
        r"(?:\[([0-9a-fA-F:.\-]+)\]|([0-9.\-]*)|([0-9a-fA-F:\-]+))(?::(\d+(?:-\d+)?))?", text
    )
    if found is None:
        raise _NotReadError
    address = found[1] or found[2] or found[3]
    return (_value(address) if address else None, _value(found[4]) if found[4] else None)


def _value(text: str) -> Json:
    """Read a constant as libnftables' JSON spells it."""
    if text in {"{", "}", "(", ")", ",", ".", "&", "|", "^"} or text in _OPERATORS | _VERDICTS:
        raise _NotReadError
    if text.startswith('"'):
        return text[1:-1]
    if re.fullmatch(r"\d+|0x[0-9a-fA-F]+", text):
        return int(text, 0)
    if re.fullmatch(r"[0-9a-fA-F.:]+/\d+", text):
        addr, _, length = text.partition("/")
        return {"prefix": {"addr": addr, "len": int(length)}}
    if re.fullmatch(r"(\d+|[\d.]+|[0-9a-fA-F:.]+)-(\d+|[\d.]+|[0-9a-fA-F:.]+)", text):
        first, _, last = text.partition("-")
        return {"range": [_value(first), _value(last)]}
    if text in {"missing", "exists"}:
        return text == "exists"
    return text

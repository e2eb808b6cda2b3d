"""What each event means: the one text behind the journal's catalogue, ``portguard-events(7)`` and ``docs/events.md``.

A text may name journal fields as ``@PORTGUARD_PORT@``; ``journalctl -x`` fills them in, and the manual shows them as they are.
Only fields that every event of the kind carries are named, because journalctl leaves others as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from portguard.model.finding import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One kind of event, for people."""

    subject: str
    """One line, with fields of the journal."""
    priority: str
    """Syslog priority, and when it is another one."""
    when: str
    """Half a sentence."""
    cause: str
    impact: str
    done: str
    """What portguard did, or does."""
    next: tuple[str, ...]
    """Commands, and what they are for."""


EXPLANATIONS: dict[Kind, Explanation] = {
    Kind.SERVICE_EXPOSED: Explanation(
        subject="@PORTGUARD_SERVICE@ on port @PORTGUARD_PORT@ can be reached by strangers",
        priority="2 to 5, by protection and reach",
        when="JMX, JDWP or Redis, on whatever port, is reachable beyond its documented zone; 2 where nothing protects it or"
        " that cannot be told",
        cause="A program of this host listens on a network address, speaks a protocol that gives whoever reaches it power over"
        " the host or its data, and the ruleset lets in more than the documents name.",
        impact="Whoever can connect can read and change data, and through JMX and JDWP run programs.",
        done="Reported it. In mode contain it is closed to everyone but its documented zone; other modes close nothing.",
        next=(
            "portguard why @PORTGUARD_PORT@   who gets through, by which rule, and the smallest fix",
            "portguard status   the process that listens, and its unit",
        ),
    ),
    Kind.RESERVED_ADDRESS_IN_USE: Explanation(
        subject="A reserved address range is in use on this host",
        priority="2 (5 when a network merely contains the range, or a rule denies it)",
        when="an address, route, neighbour, rule, set element, listener, connection, DHCP lease or container network is of a"
        " reserved range",
        cause="An interface, a route, a neighbour, a rule, a lease or a connection uses addresses that the product keeps for"
        " itself (10.28.32.0/26 for Printum), or that [reserved] names.",
        impact="The product's internal network and this one answer for the same addresses: traffic goes to the wrong end, or"
        " somebody stands where the product expects itself.",
        done="Reported it. portguard never changes addresses or routes.",
        next=(
            "ip address; ip route; ip neighbour   where the range is",
            "allow_interfaces in [reserved] of portguard.toml(5), where the product itself uses it",
        ),
    ),
    Kind.HEAL_FAILED: Explanation(
        subject="A heal was refused",
        priority="2",
        when="the kernel refused a heal, or a table of portguard's name was made by somebody else",
        cause="The kernel or nft refused the transaction, or there is a table inet portguard that portguard did not make.",
        impact="Documented ports may stay shut until it is resolved.",
        done="Left everything as it was: nft applies a transaction as a whole or not at all. It is tried again, less and less often.",
        next=(
            "portguard plan   what would be written",
            "nft list table inet portguard   what stands in its place",
        ),
    ),
    Kind.HEAL_INEFFECTIVE: Explanation(
        subject="A port is still shut after its heal",
        priority="2",
        when="a port is still shut after its heal; names the rule to blame",
        cause="The rule is in place, and another chain on the way still drops the packets: in nftables an accept is final in its"
        " own base chain only.",
        impact="Clients of the documented service cannot connect.",
        done="Evaluated the whole path again, and named the rule that decides.",
        next=("portguard why PORT   the path, rule by rule, with the command that opens it",),
    ),
    Kind.HEAL_SUSPENDED: Explanation(
        subject="Another program keeps undoing a heal",
        priority="2",
        when="somebody keeps undoing a heal; it is tried less and less often",
        cause="A second program or person writes the same rules and wants them otherwise.",
        impact="The documented port is open only some of the time.",
        done="Stopped fighting: after max_heals within the window it tries again after 1, 2, 4 ... 15 minutes.",
        next=(
            "portguard status   the rules and who changed them",
            "journalctl -t portguard --grep rule_   every change, with its process and unit",
        ),
    ),
    Kind.REQUIRED_PORT_BLOCKED: Explanation(
        subject="A documented port is blocked (@PORTGUARD_EVENT@)",
        priority="3 (4 when only part of a zone is shut on purpose)",
        when="a documented flow is dropped on its path",
        cause="A rule, or the policy of a chain, drops or rejects packets of clients that the documents name.",
        impact="These clients cannot use the service.",
        done="In mode heal it opens what a default shuts, in tables that a person wrote. What is shut on purpose, and what belongs to"
        " firewalld, ufw or iptables, is left alone.",
        next=(
            "portguard why PORT   the rule to blame, whose it is, and the command that opens it",
            "portguard plan --mode heal   what heal would do about it",
        ),
    ),
    Kind.LISTENER_MISSING: Explanation(
        subject="Nothing listens on port @PORTGUARD_PORT@ (@PORTGUARD_FLOW@)",
        priority="3",
        when="a required port has no listener",
        cause="The service is not running, listens on another port, or has not come up within listener.grace.",
        impact="The documented service is not available, however the firewall is set.",
        done="Reported it. portguard starts no services.",
        next=(
            "portguard explain @PORTGUARD_PORT@   what should listen there, and which document says so",
            "systemctl --failed   services that did not start",
        ),
    ),
    Kind.VISIBILITY_DEGRADED: Explanation(
        subject="A part of this host cannot be seen",
        priority="3",
        when="something could not be read, so something cannot be judged",
        cause="A right is missing, a tool failed, tables of iptables-legacy are in use, announcements are not to be had, or the"
        " daemon was started in a network namespace that is not the host's.",
        impact="What depends on it is unknown. It is never taken for empty, and never for fine.",
        done="Named the gap, and tries again.",
        next=(
            "portguard status   every gap, with its reason",
            "systemctl cat portguard   whether somebody took a right away",
        ),
    ),
    Kind.LISTENER_UNEXPECTED: Explanation(
        subject="Something undocumented listens on port @PORTGUARD_PORT@/@PORTGUARD_TRANSPORT@",
        priority="3 or 4",
        when="bound beyond loopback, neither documented nor `extra`: 3 where others than `admins` can reach it, 4 where not",
        cause="A program listens that neither the product's documents nor [[extra]] name.",
        impact="It may be harmless. It is a way in that nobody has written down.",
        done="Reported it, with its process, its unit and who can reach it.",
        next=(
            "portguard why @PORTGUARD_PORT@   who can reach it",
            "[[extra]] in portguard.toml(5)   to document it",
        ),
    ),
    Kind.FLOW_WIDER: Explanation(
        subject="Documented ports can be reached by more than their zones",
        priority="5",
        when="documented ports that more than their zones can reach: one finding for all",
        cause="The firewall lets in more than the documents ask for, or there is none.",
        impact="None for the product; more of it can be reached than needs to be.",
        done="Listed the ports. heal only opens.",
        next=("portguard why PORT   who gets in beside the zone",),
    ),
    Kind.LISTENER_LOOPBACK_ONLY: Explanation(
        subject="Port @PORTGUARD_PORT@ listens on loopback only (@PORTGUARD_FLOW@)",
        priority="4",
        when="a required network port listens on loopback only",
        cause="The service is configured to listen on 127.0.0.1 or ::1.",
        impact="Clients on the network cannot use it, however the firewall is set.",
        done="Reported it.",
        next=("portguard explain @PORTGUARD_PORT@   who the documents say needs it",),
    ),
    Kind.RULE_REMOVED: Explanation(
        subject="Rules of portguard's were removed",
        priority="4",
        when="drift: rules of portguard's are gone, with who did it",
        cause="Another program or person deleted them, or flushed the ruleset; systemctl reload nftables does that.",
        impact="Until it is put right documented ports may be shut.",
        done="In mode heal it writes them again at once; rule_healed says how long it took.",
        next=(
            "journalctl -o verbose _SYSTEMD_UNIT=portguard.service   PORTGUARD_ACTOR_COMM, _PID, _UNIT and _LOGINUID name who it was",
        ),
    ),
    Kind.RULE_ALTERED: Explanation(
        subject="Rules of portguard's were changed",
        priority="4",
        when="drift: rules were changed or added, with who did it",
        cause="Another program or person wrote into portguard's table, or altered a rule that carries its mark.",
        impact="Others than the documents say may have been let in or shut out until it was put right.",
        done="In mode heal it restores what the configuration asks for.",
        next=("portguard status   what was changed, and by whom",),
    ),
    Kind.RULE_HEALED: Explanation(
        subject="Put right in @PORTGUARD_TOOK_MS@ ms",
        priority="5",
        when="put right and proven, with the time it took",
        cause="Rules were missing or altered, or a default shut a documented port.",
        impact="None any more: the whole path was evaluated again after the heal.",
        done="Wrote the rules in one transaction.",
        next=("portguard status   the last heals",),
    ),
    Kind.ROLE_UNDEFINED: Explanation(
        subject="portguard has not been told what this server is",
        priority="4",
        when="nobody has said what this server is; the verdict is `unknown`",
        cause="No role stands in /etc/portguard/portguard.toml or conf.d: portguard has just been installed.",
        impact="No port is known to be documented, so none is judged. Redis, JMX and the reserved range are watched all the same.",
        done="Observes, and writes nothing.",
        next=(
            "portguard init   proposes role, zones and manager from what listens here; --write saves them",
            "portguard catalogue list   all roles",
        ),
    ),
    Kind.ZONE_UNDEFINED: Explanation(
        subject="A zone that the documents need is not in the configuration",
        priority="4",
        when="a zone that a flow needs is not in the configuration",
        cause="[zones] or [hosts] does not say which networks these clients have.",
        impact="In mode heal the ports of these flows are open to any address; those of Redis, JMX and JDWP to nobody.",
        done="Goes on with that.",
        next=("[zones] and [hosts] in portguard.toml(5)   an empty list says that there are none here",),
    ),
    Kind.MODE_CHANGED: Explanation(
        subject="What portguard may write has changed",
        priority="5",
        when="the mode is another one",
        cause="An administrator changed the mode.",
        impact="From now on portguard writes what the new mode allows.",
        done="Took the mode over.",
        next=("portguard plan   what it would write now",),
    ),
    Kind.CONFIG_CHANGED: Explanation(
        subject="A changed configuration is in force",
        priority="5",
        when="a changed configuration is in force",
        cause="A file below /etc/portguard was changed.",
        impact="Rules follow the new configuration.",
        done="Read, validated and took it over.",
        next=("portguard status   the verdict under the new configuration",),
    ),
    Kind.CONFIG_REJECTED: Explanation(
        subject="A changed configuration is at fault; the old one stays in force",
        priority="3",
        when="a changed configuration is at fault; the old one stays",
        cause="A file below /etc/portguard cannot be read, is not TOML, or says something that cannot be.",
        impact="None yet: the last good configuration stays in force. A restart would fail.",
        done="Kept the old configuration.",
        next=(
            "python3 -m portguard.config /etc/portguard/portguard.toml   every fault, with its file and line",
        ),
    ),
    Kind.HEARTBEAT: Explanation(
        subject="portguard is at work",
        priority="6",
        when="hourly: verdict, counts, digests of configuration and catalogue",
        cause="An hour has passed.",
        impact="None. A server from which none comes for two hours is one to look at.",
        done="Told its verdict.",
        next=("portguard status   the whole picture",),
    ),
}
"""Every kind that is told to people, in the order of the manual."""

"""Ways of opening, and of not opening, Redis, JMX and a debugger; the table of docs/exposure.md.

Each case has ten ports of its own, ``{0}`` to ``{9}`` in its words; what listens beyond them took a port from the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIRST_PORT = 11_000
PORTS = 10
RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way of starting a server, and what is to be said of its sockets."""

    name: str
    """For people: the row of the table."""
    options: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)
    """By port (``0`` to ``9``, ``bus`` for ten thousand above the first, ``random``): ``application protection``.

    Sockets that reach beyond this host and are not named here must be found to be neither.
    """
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Written into the folder of the case, ``{folder}`` in its words."""
    attach: str = ""
    """Command for the running JVM, as jcmd gives it."""
    serves: str = ""
    """Ports on which a JVM's own program listens."""
    program: str = ""
    """Name under which it is started, where that is another one."""
    silent: bool = False
    """It opens nothing beyond this host: no port to wait for."""

    @property
    def rows(self) -> Iterator[tuple[str, str, str]]:
        """What the table says: port, application, protection."""
        for port, what in sorted(self.expected.items()):
            application, _, protection = what.partition(" ")
            yield port, application, protection


_AGENT = "-Dcom.sun.management.jmxremote"
_OPEN = f"{_AGENT}.authenticate=false {_AGENT}.ssl=false"
_KEYS = f"-Djavax.net.ssl.keyStore={{folder}}/keys.p12 -Djavax.net.ssl.keyStorePassword=changeit {_AGENT}.registry.ssl=false"
_LOCAL = "jmx-local refuses-strangers"
_DEBUG = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n"

JVMS = (
    Case(
        name="options, RMI on a port of its own",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_OPEN}",
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="options, RMI on a random port",
        options=f"{_AGENT}.port={{0}} {_OPEN}",
        expected={"0": "jmx none", RANDOM: f"{_LOCAL}, jmx-rmi none"},
    ),
    Case(
        name="options, RMI on the same port",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{0}} {_OPEN}",
        expected={"0": "jmx none", RANDOM: _LOCAL},
    ),
    Case(
        name="`JAVA_TOOL_OPTIONS`",
        environment={"JAVA_TOOL_OPTIONS": f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_OPEN}"},
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="`JDK_JAVA_OPTIONS`",
        environment={"JDK_JAVA_OPTIONS": f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_OPEN}"},
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="argument file",
        options="@{folder}/jmx.args",
        files={"jmx.args": f"# for the monitoring\n{_AGENT}.port={{0}}\n{_AGENT}.rmi.port={{1}}\n{_OPEN}\n"},
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="configuration file of the agent",
        options="-Dcom.sun.management.config.file={folder}/management.properties",
        files={
            "management.properties": "com.sun.management.jmxremote.port={0}\ncom.sun.management.jmxremote.rmi.port={1}\n"
            "com.sun.management.jmxremote.authenticate=false\ncom.sun.management.jmxremote.ssl=false\n"
        },
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="`jcmd` at run time, RMI on a random port",
        attach="ManagementAgent.start jmxremote.port={0} jmxremote.authenticate=false jmxremote.ssl=false",
        expected={"0": "jmx none", RANDOM: "jmx-rmi none"},
    ),
    Case(
        name="`jcmd` at run time, RMI on a port of its own",
        attach="ManagementAgent.start jmxremote.port={0} jmxremote.rmi.port={1} "
        "jmxremote.authenticate=false jmxremote.ssl=false",
        expected={"0": "jmx none", "1": "jmx-rmi none"},
    ),
    Case(
        name="a web server beside JMX",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_OPEN}",
        serves="{2} {3}",
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="started through a link of another name",
        program="nginx",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_OPEN}",
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: _LOCAL},
    ),
    Case(
        name="password",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_AGENT}.ssl=false "
        f"{_AGENT}.password.file={{folder}}/jmx.password {_AGENT}.access.file={{folder}}/jmx.access",
        files={"jmx.password": "monitor hunter2\n", "jmx.access": "monitor readonly\n"},
        expected={"0": "jmx password", "1": "jmx-rmi password", RANDOM: _LOCAL},
    ),
    Case(
        name="TLS without a password",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_AGENT}.authenticate=false {_KEYS}",
        expected={"0": "jmx tls", "1": "jmx-rmi tls", RANDOM: _LOCAL},
    ),
    Case(
        name="password and TLS",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_KEYS} "
        f"{_AGENT}.password.file={{folder}}/jmx.password {_AGENT}.access.file={{folder}}/jmx.access",
        files={"jmx.password": "monitor hunter2\n", "jmx.access": "monitor readonly\n"},
        expected={"0": "jmx password+tls", "1": "jmx-rmi password+tls", RANDOM: _LOCAL},
    ),
    Case(
        name="client certificates",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_AGENT}.authenticate=false {_KEYS} "
        f"{_AGENT}.ssl.need.client.auth=true",
        expected={"0": "jmx certificate", "1": "jmx-rmi certificate", RANDOM: _LOCAL},
    ),
    Case(
        name="no hsperfdata (`-XX:+PerfDisableSharedMem`), options",
        options=f"-XX:+PerfDisableSharedMem {_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_OPEN}",
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: "jvm unknown"},
    ),
    Case(
        name="no hsperfdata (`-XX:-UsePerfData`), configuration file",
        options="-XX:-UsePerfData -Dcom.sun.management.config.file={folder}/management.properties",
        files={
            "management.properties": "com.sun.management.jmxremote.port={0}\ncom.sun.management.jmxremote.rmi.port={1}\n"
            "com.sun.management.jmxremote.authenticate=false\ncom.sun.management.jmxremote.ssl=false\n"
        },
        expected={"0": "jmx none", "1": "jmx-rmi none", RANDOM: "jvm unknown"},
    ),
    Case(
        name="no hsperfdata, `jcmd` at run time",
        options="-XX:-UsePerfData",
        attach="ManagementAgent.start jmxremote.port={0} jmxremote.authenticate=false jmxremote.ssl=false",
        expected={"0": "jvm unknown", RANDOM: "jvm unknown"},
    ),
    Case(
        name="debugger, `address=*:port`",
        options=f"{_DEBUG},address=*:{{0}}",
        expected={"0": "jdwp none"},
    ),
    Case(
        name="debugger in `JAVA_TOOL_OPTIONS`, `address=0.0.0.0:port`",
        environment={"JAVA_TOOL_OPTIONS": f"{_DEBUG},address=0.0.0.0:{{0}}"},
        expected={"0": "jdwp none"},
    ),
    Case(
        name="debugger, `-Xrunjdwp`, argument file",
        options="@{folder}/debug.args",
        files={"debug.args": "-Xdebug\n-Xrunjdwp:transport=dt_socket,server=y,suspend=n,address=*:{0}\n"},
        expected={"0": "jdwp none"},
    ),
    Case(
        name="debugger, `address=*:0`",
        options=f"{_DEBUG},address=*:0",
        expected={RANDOM: "jdwp none"},
    ),
    Case(
        name="debugger beside a web server, no hsperfdata",
        options=f"-XX:-UsePerfData {_DEBUG},address=*:{{0}}",
        serves="{1}",
        expected={"0": "jdwp none"},
    ),
    Case(
        name="debugger for some (`allow=`)",
        options=f"{_DEBUG},address=*:{{0}},allow=127.0.0.1+10.9.0.0/24",
        expected={"0": "jdwp refuses-strangers"},
    ),
    Case(name="debugger, `address=port`", options=f"{_DEBUG},address={{0}}", silent=True),
    Case(name="local only (`-Dcom.sun.management.jmxremote`)", options=_AGENT, expected={RANDOM: _LOCAL}),
    Case(
        name="local only, `jcmd` at run time", attach="ManagementAgent.start_local", expected={RANDOM: _LOCAL}
    ),
    Case(
        name="loopback host (`jmxremote.host=127.0.0.1`)",
        options=f"{_AGENT}.port={{0}} {_AGENT}.rmi.port={{1}} {_AGENT}.host=127.0.0.1 {_OPEN}",
        expected={RANDOM: _LOCAL},
    ),
    Case(name="a web server and no agent", serves="{0} {1}"),
    Case(name="a web server and no agent, no hsperfdata", options="-XX:-UsePerfData", serves="{0} {1}"),
)

_BARE = "--save '' --appendonly no --dir {folder} --port {0}"
_SHOWN = f"{_BARE} --set-proc-title no"
_TLS = (
    "--save '' --dir {folder} --port 0 --tls-port {0} --tls-cert-file {folder}/cert.pem --tls-key-file {folder}/key.pem "
    "--tls-ca-cert-file {folder}/cert.pem --set-proc-title no"
)

REDIS = (
    Case(name="no option at all but the port", options=_BARE, expected={"0": "redis unknown"}),
    Case(
        name="every address, no password, title as usual",
        options=f"{_BARE} --bind 0.0.0.0 --protected-mode no",
        expected={"0": "redis unknown"},
    ),
    Case(
        name="every address, no password",
        options=f"{_SHOWN} --bind 0.0.0.0 --protected-mode no",
        expected={"0": "redis none"},
    ),
    Case(
        name="password",
        options=f"{_SHOWN} --bind 0.0.0.0 --requirepass hunter2",
        expected={"0": "redis password"},
    ),
    Case(
        name="password in a file",
        options="{folder}/redis.conf --set-proc-title no",
        files={"redis.conf": "port {0}\nbind 0.0.0.0\nsave ''\ndir {folder}\nrequirepass hunter2\n"},
        expected={"0": "redis password"},
    ),
    Case(
        name="password in an included file, taken back by a rule for the default user",
        options="{folder}/redis.conf --set-proc-title no",
        files={
            "redis.conf": "include {folder}/secret.conf\nport {0}\nbind 0.0.0.0\nsave ''\ndir {folder}\n"
            "protected-mode no\nuser default on nopass ~* +@all\n",
            "secret.conf": "requirepass hunter2\n",
        },
        expected={"0": "redis none"},
    ),
    Case(name="protected mode", options=_SHOWN, expected={"0": "redis refuses-strangers"}),
    Case(
        name="TLS only, no certificate asked",
        options=f"{_TLS} --tls-auth-clients no --protected-mode no",
        expected={"0": "redis tls"},
    ),
    Case(
        name="TLS only, password",
        options=f"{_TLS} --tls-auth-clients no --requirepass hunter2",
        expected={"0": "redis password+tls"},
    ),
    Case(name="TLS only, client certificates", options=_TLS, expected={"0": "redis certificate"}),
    Case(
        name="cluster",
        options=f"{_BARE} --cluster-enabled yes --cluster-config-file {{folder}}/nodes.conf",
        expected={"0": "redis unknown", "bus": "redis-cluster unknown"},
    ),
    Case(
        name="cluster, bus on a port of its own",
        options=f"{_BARE} --cluster-enabled yes --cluster-config-file {{folder}}/nodes.conf --cluster-port {{1}}",
        expected={"0": "redis unknown", "1": "redis-cluster unknown"},
    ),
    Case(
        name="cluster, password",
        options=f"{_SHOWN} --cluster-enabled yes --cluster-config-file {{folder}}/nodes.conf --requirepass hunter2",
        expected={"0": "redis password", "bus": "redis-cluster none"},
    ),
    Case(
        name="Sentinel",
        options="{folder}/sentinel.conf --sentinel",
        files={"sentinel.conf": "port {0}\ndir {folder}\n"},
        expected={"0": "redis-sentinel unknown"},
    ),
    Case(
        name="renamed binary",
        program="cached",
        options=f"{_BARE} --bind 0.0.0.0 --protected-mode no",
        expected={"0": "redis unknown"},
    ),
    Case(
        name="renamed binary, title of another program",
        program="cached",
        options=f"{_BARE} --bind 0.0.0.0 --protected-mode no --proc-title-template 'nginx: master process'",
        expected={"0": "redis unknown"},
    ),
    Case(
        name="under the name of KeyDB",
        program="keydb-server",
        options=f"{_SHOWN} --bind 0.0.0.0 --protected-mode no",
        expected={"0": "redis none"},
    ),
    Case(
        name="under the name of KeyDB, protected mode and an address",
        program="keydb-server",
        options=f"{_SHOWN} --bind 0.0.0.0",
        expected={"0": "redis unknown"},
    ),
    Case(
        name="socket only",
        options="--save '' --dir {folder} --port 0 --unixsocket {folder}/s",
        silent=True,
    ),
    Case(name="loopback only", options=f"{_BARE} --bind 127.0.0.1", silent=True),
)

_SAID = {
    "jmx": "JMX",
    "jmx-rmi": "JMX RMI",
    "jmx-local": "connector for this host",
    "jdwp": "debugger",
    "jvm": "a JVM that does not tell",
    "redis": "Redis",
    "redis-sentinel": "Sentinel",
    "redis-cluster": "cluster bus",
}


def table(cases: tuple[Case, ...]) -> str:
    """The rows of docs/exposure.md."""
    lines = ["| started | found |", "|---|---|"]
    for case in cases:
        found = []
        for port, application, protection in case.rows:
            rest = f"{application} {protection}".split(", ")
            where = {"0": "", "1": " on its second port", "bus": " 10,000 above"}.get(
                port, " on a random port"
            )
            found += [f"{_SAID[one.partition(' ')[0]]}{where}: {one.partition(' ')[2]}" for one in rest]
        lines.append(f"| {case.name} | {'; '.join(found) or 'nothing'} |")
    return "\n".join(lines)

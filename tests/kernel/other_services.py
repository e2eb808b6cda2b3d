"""Twenty services of Debian's that are neither Redis nor a JVM, and how each starts by hand."""

from __future__ import annotations

from exposure_cases import Case

PACKAGES = (
    "beanstalkd", "cups-daemon", "distcc", "dnsmasq-base", "etcd-server", "haproxy", "lighttpd", "memcached", "mosquitto",
    "nginx-light", "ngircd", "openssh-server", "prometheus-node-exporter", "rsync", "rsyslog", "socat", "stunnel4",
    "tinyproxy", "unbound", "vsftpd",
)  # fmt: skip

SERVICES = (
    Case(name="beanstalkd", options="/usr/bin/beanstalkd -l 0.0.0.0 -p {0}"),
    Case(
        name="cups",
        options="/usr/sbin/cupsd -f -c {folder}/cupsd.conf -s {folder}/files.conf",
        files={"cupsd.conf": "Listen 0.0.0.0:{0}\n", "files.conf": "SystemGroup root\n"},
    ),
    Case(name="distcc", options="/usr/bin/distccd --no-detach --daemon --port {0} --allow-private"),
    Case(name="dnsmasq", options="/usr/sbin/dnsmasq -k -C /dev/null -u root --no-resolv --no-hosts -p {0}"),
    Case(
        name="etcd",
        options="/usr/bin/etcd --data-dir {folder}/d --listen-client-urls http://0.0.0.0:{0} --advertise-client-urls "
        "http://127.0.0.1:{0} --listen-peer-urls http://0.0.0.0:{1} --initial-advertise-peer-urls http://127.0.0.1:{1} "
        "--initial-cluster default=http://127.0.0.1:{1}",
    ),
    Case(
        name="haproxy",
        options="/usr/sbin/haproxy -db -f {folder}/h.cfg",
        files={
            "h.cfg": "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
            "frontend f\n bind :{0}\n stats enable\n"
        },
    ),
    Case(
        name="lighttpd",
        options="/usr/sbin/lighttpd -D -f {folder}/l.conf",
        files={"l.conf": 'server.port = {0}\nserver.document-root = "/tmp"\n'},
    ),
    Case(name="memcached", options="/usr/bin/memcached -u root -l 0.0.0.0 -p {0}"),
    Case(
        name="mosquitto",
        options="/usr/sbin/mosquitto -c {folder}/m.conf",
        files={"m.conf": "user root\nlistener {0} 0.0.0.0\nallow_anonymous true\n"},
    ),
    Case(
        name="nginx",
        options="/usr/sbin/nginx -e stderr -c {folder}/n.conf",
        files={
            "n.conf": "daemon off;\nuser root;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
            "http {{ access_log off; server {{ listen {0}; }} }}\n"
        },
    ),
    Case(
        name="ngircd",
        options="/usr/sbin/ngircd -n -f {folder}/i.conf",
        files={
            "i.conf": "[Global]\nName = a.example\nInfo = x\nPorts = {0}\nServerUID = root\nServerGID = root\n"
        },
    ),
    Case(
        name="sshd",
        options="sh -c 'mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f /dev/null -o Port={0} "
        "-o HostKey={folder}/key.pem -o PidFile=none'",
    ),
    Case(name="node-exporter", options="/usr/bin/prometheus-node-exporter --web.listen-address=:{0}"),
    Case(
        name="rsync",
        options="/usr/bin/rsync --daemon --no-detach --config {folder}/r.conf --port {0}",
        files={"r.conf": "use chroot = no\n"},
    ),
    Case(
        name="rsyslog",
        options="/usr/sbin/rsyslogd -n -f {folder}/s.conf -i {folder}/pid",
        files={"s.conf": 'module(load="imtcp")\ninput(type="imtcp" port="{0}")\n*.* {folder}/out\n'},
    ),
    Case(name="socat", options="/usr/bin/socat TCP-LISTEN:{0},fork EXEC:cat"),
    Case(
        name="stunnel",
        options="/usr/bin/stunnel4 {folder}/t.conf",
        files={
            "t.conf": "foreground = yes\npid =\n[s]\naccept = {0}\nconnect = 127.0.0.1:1\ncert = {folder}/cert.pem\n"
            "key = {folder}/key.pem\n"
        },
    ),
    Case(
        name="tinyproxy",
        options="/usr/bin/tinyproxy -d -c {folder}/p.conf",
        files={"p.conf": "Port {0}\nListen 0.0.0.0\n"},
    ),
    Case(
        name="unbound",
        options="/usr/sbin/unbound -d -c {folder}/u.conf",
        files={
            "u.conf": 'server:\n username: ""\n chroot: ""\n directory: "{folder}"\n pidfile: ""\n use-syslog: no\n'
            " port: {0}\n interface: 0.0.0.0\n do-daemonize: no\n"
        },
    ),
    Case(
        name="vsftpd",
        options="/usr/sbin/vsftpd {folder}/v.conf",
        files={
            "v.conf": "listen=YES\nlisten_port={0}\nbackground=NO\nsecure_chroot_dir={folder}\nanonymous_enable=NO\n"
        },
    ),
)

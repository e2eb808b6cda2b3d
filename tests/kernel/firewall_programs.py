"""What Debian's firewalls are told, each by a shell script: they write their rules themselves.

The shape of Docker's rules is the documented one (its packages start a daemon with containers); all others are the real programs.
"""

from __future__ import annotations

import json

_IPTABLES = """
iptables -P INPUT DROP
iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -p tcp -m multiport --dports 80,443 -m comment --comment "the web" -j ACCEPT
iptables -A INPUT -m iprange --src-range 10.9.0.0-10.9.0.9 -p tcp --dport 631 -j ACCEPT
iptables -N BANNED
iptables -A INPUT -s 192.0.2.0/24 -j BANNED
iptables -A BANNED -p tcp --dport 8080 -j RETURN
iptables -A BANNED -j REJECT --reject-with icmp-host-prohibited
iptables -A INPUT -p tcp --syn --dport 9100 -m addrtype --dst-type LOCAL -j ACCEPT
iptables -A INPUT -p icmp --icmp-type echo-request -j ACCEPT
iptables -t nat -A PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 80
iptables -t mangle -A PREROUTING -p udp --dport 443 -j MARK --set-xmark 0x101/0x101
iptables -t mangle -A PREROUTING -p udp --dport 443 -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1
iptables -t mangle -A PREROUTING -p udp --dport 443 -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
iptables -A INPUT -p udp -m mark --mark 0x101 -m connmark --mark 0x1 -j REJECT
iptables -A INPUT -p udp --dport 631 -m addrtype --src-type UNICAST --dst-type BROADCAST,LOCAL -j REJECT
iptables -A INPUT -p udp --dport 80 -m addrtype --src-type UNICAST --dst-type BROADCAST,MULTICAST -j ACCEPT
iptables -A INPUT -p udp --dport 9100 -m conntrack --ctstate NEW,DNAT -j ACCEPT
iptables -A INPUT -p tcp --dport 8080 -m hashlimit --hashlimit-upto 100/sec --hashlimit-mode srcip --hashlimit-name web -j ACCEPT
iptables -A INPUT -p tcp --dport 8080 -m recent --name web --rcheck --seconds 60 -j REJECT
iptables -t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp || true
iptables -t raw -A PREROUTING -p udp --dport 22 -j CT --zone 3
iptables -t raw -A PREROUTING -p udp --dport 22 -j CT --notrack
iptables -t mangle -A PREROUTING -p udp --dport 22 -m comment --comment "a part of the mark" -j CONNMARK --set-xmark 0x10/0xf0
iptables -I INPUT -p udp --dport 22 -m connmark --mark 0x10 -m comment --comment "tracked after all" -j ACCEPT
iptables -I INPUT -p udp --dport 80 -s 10.9.0.1 -m addrtype --src-type UNICAST --dst-type BROADCAST -m comment --comment "to nobody here" -j REJECT
iptables -I INPUT -p icmp ! --icmp-type any -j REJECT
ip6tables -A INPUT -p udp --dport 22 -m addrtype --dst-type UNICAST -j REJECT
ip6tables -A INPUT -p udp --dport 443 -m addrtype ! --src-type MULTICAST -m comment --comment "anybody" -j DROP
ip6tables -A INPUT -p icmpv6 --icmpv6-type 148 -j DROP
ip6tables -A INPUT -p icmpv6 --icmpv6-type 128/3 -j DROP
ip6tables -A INPUT -p icmpv6 ! --icmpv6-type 1 -s 2001:db8::/32 -j REJECT
ip6tables -A INPUT -s 2001:db8::/32 -p tcp -m multiport --dports 80,8080:9100 -j REJECT --reject-with tcp-reset
ip6tables -t nat -A PREROUTING -p tcp --dport 22 -s 2001:db8::/32 -j REDIRECT --to-ports 80
ip6tables -t nat -A PREROUTING -p tcp --dport 443 -s fd01::/64 -m recent --name web --set -j DNAT --to-destination [fd03::10]:8080
ip6tables -A FORWARD -p tcp --dport 8080 -j REJECT
"""

_UFW = """
cp -L /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /usr/share/ufw/*.init /etc/ufw/
ufw --force enable
ufw allow proto tcp from 10.1.0.0/16 to any port 80,443
ufw deny 631/tcp
ufw reject 9100/tcp
ufw allow 8080/udp
ufw allow in on eth1 to any port 443 proto tcp
ufw allow proto tcp from 2001:db8::/32 to any port 80
"""

_FIREWALLD = """
cat > /bus.conf <<X
<busconfig><type>system</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/></policy></busconfig>
X
firewall-offline-cmd --zone=public --add-port=80/tcp
firewall-offline-cmd --zone=public --add-rich-rule='rule family=ipv4 source address=10.9.0.0/16 port port=443 protocol=tcp accept'
firewall-offline-cmd --zone=public --add-rich-rule='rule family=ipv4 source address=192.0.2.7 drop'
firewall-offline-cmd --zone=work --add-source=172.20.0.0/16
firewall-offline-cmd --zone=work --add-port=631/tcp
firewall-offline-cmd --zone=public --add-forward-port=port=8080:proto=tcp:toport=80
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus
dbus-daemon --config-file=/bus.conf --nofork --nopidfile >/dev/null 2>&1 & bus=$!
while [ ! -S /run/bus ]; do sleep 0.05; done
/usr/bin/python3 /usr/sbin/firewalld --nofork --nopid --log-file=/log >/dev/null 2>&1 & firewall=$!
for try in $(seq 200); do nft list chain inet firewalld filter_IN_work_allow 2>/dev/null | grep -q 631 && break; sleep 0.1; done
sleep 0.5
# then
kill -9 $firewall $bus  # ended otherwise, it would take its rules along
nft list chain inet firewalld filter_IN_work_allow | grep -q 631
"""

_FOOMUURI = """
mkdir -p /etc/foomuuri /var/lib/foomuuri
cat > /etc/foomuuri/foomuuri.conf <<X
zone {
  localhost
  public    eth0
  internal  eth1
}
iplist {
  @admins 10.9.0.0/16 2001:db8::/32
}
public-localhost {
  tcp 22 saddr @admins
  tcp 80
  tcp 443 saddr 10.1.0.0/16 fd01::/64
  tcp 631 saddr_rate "3/minute burst 2" reject
  udp 8080 saddr 192.0.2.7
  ping
  tcp 9100 drop
  reject log
}
internal-localhost {
  tcp 631 9100
  drop
}
localhost-public {
  accept
}
localhost-internal {
  accept
}
X
foomuuri start
foomuuri iplist refresh --force || foomuuri iplist refresh
"""

_SHOREWALL = """
for six in "" 6; do
  at=/etc/shorewall$six
  mkdir -p $at /var/lib/shorewall$six
  ip=ipv4; [ -z "$six" ] || ip=ipv6
  printf 'fw firewall\\nnet %s\\nloc %s\\n' $ip $ip > $at/zones
  printf '?FORMAT 2\\nnet eth0 optional\\nloc eth1 optional\\n' > $at/interfaces
  printf 'fw all ACCEPT\\nloc fw REJECT\\nnet all DROP\\nall all REJECT\\n' > $at/policy
  : > $at/rules
  sed -i 's/^STARTUP_ENABLED=.*/STARTUP_ENABLED=Yes/' $at/shorewall$six.conf
done
cat > /etc/shorewall/rules <<X
?SECTION NEW
Ping(ACCEPT) net fw
ACCEPT net:10.1.0.0/16 fw tcp 80,443
ACCEPT net:10.9.0.0/16 fw tcp 22
REJECT net:192.0.2.7 fw tcp 80:9100
ACCEPT loc fw tcp 631
ACCEPT net fw udp 8080
ACCEPT net fw tcp 9100 - - s:2/min:2
REDIRECT net 80 tcp 8080
X
cat > /etc/shorewall6/rules <<X
?SECTION NEW
Ping(ACCEPT) net fw
ACCEPT net:<2001:db8::/32> fw tcp 80
ACCEPT loc fw tcp 631,9100
X
shorewall start
shorewall6 start
"""

_FAIL2BAN = """
cat > /etc/fail2ban/jail.local <<X
[DEFAULT]
banaction = nftables-multiport
banaction_allports = nftables-allports
backend = polling
[sshd]
enabled = false
[web]
enabled = true
filter = web
port = 80,443
logpath = /web.log
[printing]
enabled = true
filter = web
banaction = nftables-allports[blocktype=drop]
logpath = /web.log
X
printf '[Definition]\\nfailregex = ^bad <HOST>$\\n' > /etc/fail2ban/filter.d/web.conf
touch /web.log
mkdir -p /run/fail2ban
fail2ban-server -f --logtarget /fail2ban.log start >/dev/null 2>&1 & server=$!
for try in $(seq 100); do fail2ban-client ping >/dev/null 2>&1 && break; sleep 0.1; done
fail2ban-client set web banip 10.9.0.1 2001:db8::1
fail2ban-client set printing banip 192.0.2.7 fd20::5
for try in $(seq 100); do [ "$(nft list ruleset | grep -cE '192.0.2.7|fd20::5|10.9.0.1|2001:db8::1')" = 4 ] && break; sleep 0.1; done
[ "$(nft list ruleset | grep -cE '192.0.2.7|fd20::5|10.9.0.1|2001:db8::1')" = 4 ]
# then
kill -9 $server  # ended otherwise, it would take its rules along
"""

_DOCKER = """
iptables -P FORWARD DROP
iptables -N DOCKER
iptables -N DOCKER-USER
iptables -A FORWARD -j DOCKER-USER
iptables -A FORWARD -o eth2 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A FORWARD -o eth2 -j DOCKER
iptables -A FORWARD -i eth2 ! -o eth2 -j ACCEPT
iptables -A DOCKER-USER -j RETURN
iptables -A DOCKER -d 10.3.0.10/32 ! -i eth2 -o eth2 -p tcp -m tcp --dport 8080 -j ACCEPT
iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 10.3.0.0/24 ! -o eth2 -j MASQUERADE
iptables -t nat -A DOCKER -i eth2 -j RETURN
iptables -t nat -A DOCKER ! -i eth2 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.3.0.10:8080
iptables -t nat -A DOCKER ! -i eth2 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.3.0.10:9100
iptables -P INPUT DROP
iptables -A INPUT -p tcp --dport 22 -j ACCEPT
"""

_DOCKER_NFTABLES = """
nft -f - <<X
table ip docker-bridges {
  map filter-forward-in-jumps { type ifname : verdict; elements = { "eth2" : jump filter-forward-in__eth2 }; }
  map filter-forward-out-jumps { type ifname : verdict; elements = { "eth2" : jump filter-forward-out__eth2 }; }
  map nat-postrouting-in-jumps { type ifname : verdict; elements = { "eth2" : jump nat-postrouting-in__eth2 }; }
  map nat-postrouting-out-jumps { type ifname : verdict; elements = { "eth2" : jump nat-postrouting-out__eth2 }; }
  chain filter-FORWARD {
    type filter hook forward priority filter; policy accept;
    oifname vmap @filter-forward-in-jumps
    iifname vmap @filter-forward-out-jumps
  }
  chain nat-OUTPUT {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local counter jump nat-prerouting-and-output
  }
  chain nat-POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    iifname vmap @nat-postrouting-out-jumps
    oifname vmap @nat-postrouting-in-jumps
  }
  chain nat-PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local counter jump nat-prerouting-and-output
  }
  chain nat-prerouting-and-output {
    iifname != "eth2" tcp dport 80 counter dnat to 10.3.0.10:8080 comment "DNAT"
    ip daddr 10.2.0.1 iifname != "eth2" tcp dport 443 counter dnat to 10.3.0.10:443 comment "DNAT"
    iifname != "eth2" tcp dport 631 counter dnat to 10.3.0.10:631 comment "DNAT"
  }
  chain raw-PREROUTING {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 10.3.0.10 iifname != "eth2" counter drop comment "DROP DIRECT ACCESS"
  }
  chain filter-forward-in__eth2 {
    ct state established,related counter accept
    iifname "eth2" counter accept comment "ICC"
    ip daddr 10.3.0.10 tcp dport 8080 counter accept
    ip daddr 10.3.0.10 tcp dport 443 counter accept
    counter drop comment "UNPUBLISHED PORT DROP"
  }
  chain filter-forward-out__eth2 {
    ct state established,related counter accept
    counter accept comment "OUTGOING"
  }
  chain nat-postrouting-in__eth2 { }
  chain nat-postrouting-out__eth2 { oifname != "eth2" ip saddr 10.3.0.0/24 counter masquerade comment "MASQUERADE"; }
}
table inet host {
  chain input { type filter hook input priority filter; policy drop; tcp dport 22 accept; }
}
X
"""

PROGRAMS = {
    "iptables": _IPTABLES,
    "ufw": _UFW,
    "firewalld": _FIREWALLD,
    "foomuuri": _FOOMUURI,
    "shorewall": _SHOREWALL,
    "fail2ban": _FAIL2BAN,
    "docker": _DOCKER,
    "docker, nftables": _DOCKER_NFTABLES,
}


def script(program: str, then: str) -> str:
    """Tell a program what it is told, and run a further command while it is still running."""
    text = PROGRAMS[program]
    return text.replace("# then\n", f"{then}\n") if "# then\n" in text else f"{text}\n{then}\n"


CONTAINER = "ceth0"
"""Interface of the container that netavark connects."""


def netavark(driver: str, namespace: str) -> str:
    """Publish two ports of a container whose network namespace has a path, as podman has it done."""
    network = {
        "name": "podman",
        "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
        "driver": "bridge",
        "network_interface": "podman0",
        "subnets": [
            {"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"},
            {"subnet": "fd88::/64", "gateway": "fd88::1"},
        ],
        "ipv6_enabled": True,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    published = [
        {"container_port": 8080, "host_ip": "", "host_port": 80, "protocol": "tcp", "range": 1},
        {"container_port": 443, "host_ip": "10.2.0.1", "host_port": 443, "protocol": "tcp", "range": 1},
        {"container_port": 8080, "host_ip": "", "host_port": 8080, "protocol": "udp", "range": 1},
    ]
    options = {
        "container_id": "c0ffee",
        "container_name": "web",
        "networks": {"podman": {"static_ips": ["10.88.0.2", "fd88::2"], "interface_name": CONTAINER}},
        "network_info": {"podman": network},
        "port_mappings": published,
    }
    return f"""
nft 'add table inet host; add chain inet host input {{ type filter hook input priority 0; policy drop; }}
     add rule inet host input tcp dport 22 accept
     add rule inet host input icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept'
mkdir -p /run/netavark
NETAVARK_FW={driver} netavark -c /run/netavark setup {namespace} <<'X'
{json.dumps(options)}
X
"""

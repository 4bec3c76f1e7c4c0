"""Whether this machine can enforce policies on real packets, and if not, why.

Everything is tried for real in a network namespace that is gone a moment later; module lists and
version numbers would only be guesses.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

from .netns import SYSTEM_PATH, Netns, NetnsError

PROGRAMS = {
    "ip": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "ip6tables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
}
PACKAGES = Path(__file__).resolve().parent.parent / "enforcement" / "packages.txt"

_RULES = """*filter
:TRY - [0:0]
-A TRY -m comment --comment "x" -m set --match-set {set} src -j ACCEPT
-A TRY -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A TRY -m addrtype --src-type LOCAL -j ACCEPT
-A TRY -m physdev --physdev-is-bridged -j ACCEPT
-A TRY -p tcp -m multiport --dports 30000:32767 -j RETURN
-A TRY -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/minute -j NFLOG --nflog-group 100
-A TRY -j MARK --set-xmark 0x10000/0x10000
-A TRY -j REJECT
COMMIT
"""


@cache
def unavailable() -> str | None:
    """The reason why this machine cannot do it; None when it can."""
    if sys.platform != "linux":
        return f"real packets need Linux; this is {sys.platform}"
    if os.geteuid() != 0:
        return "real packets need root, to make network namespaces"
    missing = missing_packages()
    if missing:
        return f"real packets need the Debian packages {' '.join(missing)}: make packets installs them"
    try:
        _try()
    except NetnsError as error:
        return f"real packets need more than this kernel has or permits: {error}"
    return None


def missing_packages() -> list[str]:
    """The Debian packages whose programs are not here, sorted."""
    lacking = {package for name, package in PROGRAMS.items() if not shutil.which(name, path=SYSTEM_PATH)}
    return sorted(lacking)


def _try() -> None:
    with Netns() as node, Netns() as pod:
        node.ip(["link set lo up", f"link add p1 type veth peer name eth0 netns {pod.path}"])
        node.sysctl({"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"})
        for family, restore in (("inet", "iptables-restore"), ("inet6", "ip6tables-restore")):
            node.command("ipset", "create", f"try-{family}", "hash:ip", "family", family, "timeout", "0")
            node.command("ipset", "create", f"net-{family}", "hash:net", "family", family, "timeout", "0")
            node.command(restore, input=_RULES.format(set=f"try-{family}"))

"""The client: ``python -m tenantprofile.canary.probe TOKEN PORTS ADDRESS...``.

Tries every port of every address by TCP and UDP, all at once, and writes one line when the slowest
answer is in (`tenantprofile.enforcement.attempts.Round`); again and again until it is ended.

Each attempt has a source port that was not used for long: connection trackers take a packet of a known
connection as part of it, and would let it through whatever the policies say by now.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import secrets
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from tenantprofile.enforcement.attempts import Attempt, Lane, Protocol, Round, family_of

FIRST_SOURCE_PORT, LAST_SOURCE_PORT = 33000, 60900
# linux/in.h, linux/in6.h: an ICMP message ends an attempt at once, not when the first packet is repeated.
IP_RECVERR, IPV6_RECVERR = 11, 25
_PROTOCOLS: tuple[Protocol, ...] = ("TCP", "UDP")


class SourcePorts:
    """One after the other, from a random one on."""

    def __init__(self) -> None:
        span = LAST_SOURCE_PORT - FIRST_SOURCE_PORT
        self._ports: Iterator[int] = itertools.cycle(range(FIRST_SOURCE_PORT, LAST_SOURCE_PORT))
        self._lock = Lock()
        for _ in range(secrets.randbelow(span)):
            next(self._ports)

    def take(self) -> int:
        with self._lock:
            return next(self._ports)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tenantprofile.canary.probe", description=__doc__)
    parser.add_argument("--timeout", type=float, default=1.0, help="Seconds to wait for an answer.")
    parser.add_argument("--pause", type=float, default=0.3, help="Seconds between two rounds.")
    parser.add_argument("token")
    parser.add_argument("ports")
    parser.add_argument("addresses", nargs="+")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    targets = [
        (Attempt(Lane(family_of(address), protocol), int(port)), address)
        for address in given.addresses
        for protocol in _PROTOCOLS
        for port in given.ports.split(",")
    ]
    sources = SourcePorts()
    with ThreadPoolExecutor(len(targets)) as threads:

        def once(target: tuple[Attempt, str]) -> bool:
            return reaches(*target, given.token.encode(), given.timeout, sources)

        for number in itertools.count(1):
            answers = list(threads.map(once, targets))
            found = (attempt.key for (attempt, _), answer in zip(targets, answers, strict=True) if answer)
            print(Round(number, frozenset(found)).line(), flush=True)
            time.sleep(given.pause)


def reaches(attempt: Attempt, address: str, token: bytes, timeout: float, sources: SourcePorts) -> bool:
    """Whether the server answers with the token in time."""
    stream = attempt.lane.protocol == "TCP"
    family = socket.AF_INET6 if attempt.lane.family == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as made:
        made.settimeout(timeout)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if stream:  # end it with a reset, so that neither side remembers it
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            _bind(made, sources)
            made.connect((address, attempt.port))
            if not stream:
                made.send(b"?")
            heard = b""
            while token.startswith(heard) and heard != token:
                more = made.recv(512)
                if not more:
                    return False
                heard += more
            return heard == token
        except OSError:
            return False


def _bind(made: socket.socket, sources: SourcePorts) -> None:
    for _ in range(100):
        try:
            made.bind(("", sources.take()))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no free source port")


if __name__ == "__main__":
    main()

"""The program that tries connections from every pod: ``python -m packets.probing``.

An order is a JSON line on standard input: a list of attempts, each with the network namespace to
start from. All are started before any is waited for, so a matrix takes about as long as its slowest
answer. It ends with its input, hence with the process that started it.

How an attempt ends is read from the socket's error queue (IP_RECVERR, ip(7)), for two reasons: the
sender of an ICMP message tells a firewall from a destination without a listener; and a refusal that
arrives while connect() still holds the socket is otherwise noticed only a second later, when the
first packet is sent again.

Each attempt has a source port that was not used for a long time: the connection tracker takes
another packet of a known connection as part of it, and would let it through.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .flows import Outcome
from .netns import enter

# linux/in.h, linux/in6.h, linux/errqueue.h
IP_RECVERR, IPV6_RECVERR = 11, 25
SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6 = 2, 3
_SOCK_EXTENDED_ERR = struct.Struct("IBBBBII")

FIRST_SOURCE_PORT, LAST_SOURCE_PORT = 33000, 64900
AT_ONCE = 400

Answer = tuple[str, float]
"""The outcome, and the CLOCK_MONOTONIC second at which it was known."""


class Attempt:
    """One connection being tried."""

    def __init__(self, order: Sequence[Any], ports: Iterator[int]) -> None:
        self.namespace, protocol, self.address, self.port, self.expected = order
        self._stream = protocol == "TCP"
        self._ports = ports
        self._nonce = secrets.token_hex(8).encode()
        self._heard = b""
        self.outcome = Outcome.LOST
        self.at = 0.0
        self.socket: socket.socket | None = None

    def start(self) -> bool:
        """Send the first packet; True when the answer is known already."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        kind = socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM
        self.socket = made = socket.socket(family, kind)
        made.setblocking(False)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if self._stream:  # leave nothing behind in the connection tracker
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._bind(made, "::" if family == socket.AF_INET6 else "0.0.0.0")  # noqa: S104
        try:
            made.connect((self.address, self.port))
            if not self._stream:
                made.send(self._nonce)
        except BlockingIOError:
            pass
        except OSError as error:
            return self._failed(error)
        return False

    def ready(self) -> bool:
        """Something happened on the socket; True when the answer is known."""
        assert self.socket is not None
        try:
            content = self.socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError as error:
            return self._failed(error)
        if not content and self._stream:
            return self._done(Outcome.NO_WAY)
        self._heard += content
        wanted = self.expected.encode() + b"\n" + (b"" if self._stream else self._nonce)
        if len(self._heard) < len(wanted) and wanted.startswith(self._heard):
            return False
        return self._done(Outcome.OPEN if self._heard == wanted else Outcome.NO_WAY)

    def failed(self) -> bool:
        """The socket reports an error; True when the answer is known."""
        assert self.socket is not None
        known = self._from_queue()
        if known is None:
            number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return self._failed(OSError(number, os.strerror(number))) if number else self.ready()
        return self._done(known)

    def _failed(self, error: OSError) -> bool:
        queued = self._from_queue()
        if queued is not None:
            return self._done(queued)
        reset = error.errno in (errno.ECONNREFUSED, errno.ECONNRESET)
        return self._done(Outcome.NOBODY if reset else Outcome.NO_WAY)

    def _from_queue(self) -> Outcome | None:
        """What an ICMP message said, if one came."""
        assert self.socket is not None
        try:
            _, ancillary, _, _ = self.socket.recvmsg(512, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return None
        for _, kind, content in ancillary:
            if kind not in (IP_RECVERR, IPV6_RECVERR):
                continue
            number, origin, _, _, _, _, _ = _SOCK_EXTENDED_ERR.unpack_from(content)
            if origin not in (SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6):
                continue
            if number not in (errno.ECONNREFUSED, errno.EACCES):
                return Outcome.NO_WAY
            # A closed TCP port answers by a reset, so ICMP about TCP is always a firewall.
            sender = _sender(content[_SOCK_EXTENDED_ERR.size :])
            itself = not self._stream and sender == self.address
            return Outcome.NOBODY if itself else Outcome.REFUSED
        return None

    def _bind(self, made: socket.socket, address: str) -> None:
        for port in itertools.islice(self._ports, 100):
            try:
                made.bind((address, port))
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, "no free source port")

    def _done(self, outcome: Outcome) -> bool:
        self.outcome, self.at = outcome, time.monotonic()
        return True


def _sender(address: bytes) -> str:
    """The address in a struct sockaddr_in or sockaddr_in6."""
    family = struct.unpack_from("H", address)[0]
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    return socket.inet_ntop(socket.AF_INET6, address[8:24]) if family == socket.AF_INET6 else ""


def probe(orders: Sequence[Sequence[Any]], timeout: float, ports: Iterator[int]) -> list[Answer]:
    """Try all of them, at most `AT_ONCE` at the same time; answers in the order of the orders."""
    attempts = [Attempt(order, ports) for order in orders]
    ordered = sorted(attempts, key=lambda attempt: attempt.namespace)
    for first in range(0, len(ordered), AT_ONCE):
        _probe_chunk(ordered[first : first + AT_ONCE], timeout)
    return [(attempt.outcome.value, attempt.at) for attempt in attempts]


def _probe_chunk(attempts: Sequence[Attempt], timeout: float) -> None:
    poll = select.epoll()
    waiting: dict[int, Attempt] = {}
    for namespace, group in itertools.groupby(attempts, key=lambda attempt: attempt.namespace):
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        enter(descriptor)
        os.close(descriptor)
        for attempt in group:
            if not attempt.start() and attempt.socket is not None:
                waiting[attempt.socket.fileno()] = attempt
                poll.register(attempt.socket, select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP)
    deadline = time.monotonic() + timeout
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, events in poll.poll(left):
            attempt = waiting[descriptor]
            if attempt.failed() if events & select.EPOLLERR else attempt.ready():
                del waiting[descriptor]
                poll.unregister(descriptor)
    for attempt in attempts:
        attempt.at = attempt.at or time.monotonic()
        if attempt.socket is not None:
            attempt.socket.close()
    poll.close()


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ports = itertools.cycle(range(FIRST_SOURCE_PORT, LAST_SOURCE_PORT))
    for _ in range(secrets.randbelow(LAST_SOURCE_PORT - FIRST_SOURCE_PORT)):
        next(ports)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer: dict[str, Any] = {"answers": probe(order["attempts"], order["timeout"], ports)}
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

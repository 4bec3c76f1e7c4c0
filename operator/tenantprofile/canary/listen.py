"""The server: ``python -m tenantprofile.canary.listen TOKEN PORTS``.

Listens on every port for TCP and UDP in all address families of the pod, and answers each connection
and each datagram with the token, so that a client knows whom it has reached.
"""

from __future__ import annotations

import argparse
import selectors
import signal
import socket
import sys
from collections.abc import Sequence

_EVERYWHERE_IPV6, _EVERYWHERE_IPV4 = "::", "0.0.0.0"  # noqa: S104


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tenantprofile.canary.listen", description=__doc__)
    parser.add_argument("token")
    parser.add_argument("ports")
    given = parser.parse_args(arguments)
    # As the first process of a container it would ignore the signal otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    selector = selectors.DefaultSelector()
    for port in map(int, given.ports.split(",")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            selector.register(_listening(kind, port), selectors.EVENT_READ)
    print(f"listening on {given.ports}", flush=True)
    answer = given.token.encode()
    while True:
        for key, _ in selector.select():
            if isinstance(key.fileobj, socket.socket):
                _answer(key.fileobj, answer)


def _listening(kind: socket.SocketKind, port: int) -> socket.socket:
    """In both families where the node has both."""
    try:
        made = socket.socket(socket.AF_INET6, kind)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = _EVERYWHERE_IPV6
    except OSError:
        made, address = socket.socket(socket.AF_INET, kind), _EVERYWHERE_IPV4
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.setblocking(False)
    if kind == socket.SOCK_STREAM:
        made.listen(128)
    return made


def _answer(listening: socket.socket, answer: bytes) -> None:
    try:
        if listening.type == socket.SOCK_STREAM:
            connection, _ = listening.accept()
            with connection:
                connection.send(answer)
        else:
            _, sender = listening.recvfrom(512)
            listening.sendto(answer, sender)
    except OSError:
        pass  # the other end has given up, or the answer was refused on its way


if __name__ == "__main__":
    main()

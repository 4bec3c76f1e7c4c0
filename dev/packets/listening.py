"""The program that listens on every port of every pod: ``python -m packets.listening``.

One process for the whole world. Its sockets are made inside the pods' network namespaces and stay
there (socket(7): a socket belongs to the namespace in which it was made). Whoever connects is told
the name of the pod, so that a test knows it reached the right one. Afterwards it echoes, which
serves tests of connections that last.

Orders come as JSON lines on standard input, one answer line each; it ends with its input, hence
with the process that started it.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from .netns import enter

_Handler = Callable[[socket.socket], None]


class Listener:
    """All sockets, by pod."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._sockets: dict[str, list[socket.socket]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, namespace: str, ports: dict[str, list[int]]) -> None:
        """Listen on these ports of a namespace, in both address families at once."""
        opened = self._sockets.setdefault(name, [])
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        failures: list[OSError] = []

        def inside() -> None:
            try:
                enter(descriptor)
                opened.extend(self._open(name, ports))
            except OSError as error:
                failures.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        os.close(descriptor)
        if failures:
            raise failures[0]

    def remove(self, name: str) -> None:
        for listening in self._sockets.pop(name, ()):
            self._selector.unregister(listening)
            listening.close()

    def _open(self, name: str, ports: dict[str, list[int]]) -> list[socket.socket]:
        made = []
        for protocol, numbers in ports.items():
            for port in numbers:
                kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
                opened = socket.socket(socket.AF_INET6, kind)
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(("::", port))
                opened.setblocking(False)
                banner = f"{name}\n".encode()
                if protocol == "TCP":
                    opened.listen(512)
                    handler: _Handler = self._accepting(banner)
                else:
                    handler = _answering(banner)
                self._selector.register(opened, selectors.EVENT_READ, handler)
                made.append(opened)
        return made

    def _accepting(self, banner: bytes) -> _Handler:
        def accept(listening: socket.socket) -> None:
            try:
                connection, _ = listening.accept()
                connection.setblocking(False)
                connection.send(banner)
                self._selector.register(connection, selectors.EVENT_READ, self._echo)
            except OSError:
                pass  # the other end has given up already

        return accept

    def _echo(self, connection: socket.socket) -> None:
        try:
            content = connection.recv(4096)
            if content:
                connection.send(content)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(connection)
        connection.close()


def _answering(banner: bytes) -> _Handler:
    def answer(listening: socket.socket) -> None:
        try:
            content, sender = listening.recvfrom(4096)
            listening.sendto(banner + content, sender)
        except OSError:
            pass  # the answer was refused on its way

    return answer


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    selector = selectors.DefaultSelector()
    listener = Listener(selector)
    buffer = b""

    def order(_: object) -> None:
        nonlocal buffer
        content = os.read(0, 1 << 16)
        if not content:
            sys.exit(0)
        *lines, buffer = (buffer + content).split(b"\n")
        for line in lines:
            print(json.dumps(_obey(listener, json.loads(line))), flush=True)

    selector.register(0, selectors.EVENT_READ, order)
    while True:
        for key, _ in selector.select():
            key.data(key.fileobj)


def _obey(listener: Listener, order: dict[str, Any]) -> dict[str, Any]:
    try:
        if "remove" in order:
            listener.remove(order["remove"])
        else:
            listener.add(order["add"], order["namespace"], order["ports"])
    except OSError as error:
        return {"error": str(error)}
    return {}


if __name__ == "__main__":
    main()

"""The instrument, a process of its own: writes down when it received each watch event, and nothing else.

    python -m benchmarks.watcher KUBECONFIG PATH FILE

Each line of FILE is the receive time on the machine's monotonic clock, a tab, and the event as it came.
Nothing is parsed here, so that the watcher costs little and the same for whatever is measured. It speaks
HTTP/1.0, where a watch is nothing but lines: with chunks to take apart it would be slow enough for the
API server to drop it when events come by the thousand. Should that happen all the same, it goes on from
the last event.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.wire import tls

_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')


def main(kubeconfig: Path, path: str, target: Path) -> None:
    content = json.loads(kubeconfig.read_text())
    server = Server(content["clusters"][0]["cluster"], content["users"][0]["user"]["token"])
    version = _VERSION.search(b"".join(server.lines(f"{path}?limit=1")))
    assert version is not None
    last = version[1]
    with target.open("ab", buffering=0) as file:
        file.write(b"\n")  # it watches
        while True:
            line = b""
            watch = f"{path}?watch=1&resourceVersion={last.decode()}&timeoutSeconds=7200"
            for line in server.lines(watch):
                file.write(b"%.6f\t%s\n" % (time.monotonic(), line))
            if found := _VERSION.search(line):
                last = found[1]
            time.sleep(0.01)


class Server:
    def __init__(self, cluster: dict[str, str], token: str) -> None:
        address = urlsplit(cluster["server"])
        self._address = address.hostname or "", address.port or 443
        self._tls = tls(cluster)
        self._token = token

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of an answer's body, as they come. Raises OSError."""
        plain = socket.create_connection(self._address)
        with self._tls.wrap_socket(plain, server_hostname=self._address[0]) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.0\r\nHost: {self._address[0]}\r\nAccept: application/json\r\n"
                f"Authorization: Bearer {self._token}\r\n\r\n".encode()
            )
            rest = b""
            while b"\r\n\r\n" not in rest:
                rest += connection.recv(4096)
            head, _, rest = rest.partition(b"\r\n\r\n")
            if b" 200 " not in head.splitlines()[0]:
                raise OSError(head.splitlines()[0].decode())
            while True:
                *lines, rest = rest.split(b"\n")
                yield from lines
                chunk = connection.recv(1 << 18)
                if not chunk:
                    break
                rest += chunk
            if rest:
                yield rest


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

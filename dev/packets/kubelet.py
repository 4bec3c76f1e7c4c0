"""Plays scheduler and kubelet: pods that nobody has placed run as processes in networks of their own.

For tests of whatever starts pods by itself. A pod's command is run as it stands, with this Python for
`python`, in the pod's network namespace; its log is served where the API server asks a kubelet for it
(`GET /containerLogs/<namespace>/<pod>/<container>` over TLS). Images, resources and probes are not
looked at. Deadlines and deletions are kept.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from . import wiring
from .api import ApiError, Object
from .world import World, running

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
_ENTER = Path(__file__).with_name("enter.py")
_EVERY = 0.1


@dataclass(slots=True)
class _Running:
    uid: str
    process: subprocess.Popen[bytes]
    log: Path
    deadline: float
    ended: bool = False


class Kubelet:
    """For the pods of one world; as a context manager it ends with everything it has started."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._pods: dict[str, _Running] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="kubelet-")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kubelet", daemon=True)
        self._server = self._serve()
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        addresses = [
            {"type": "InternalIP", "address": str(wiring.NODE_IPV4)},
            {"type": "InternalIP", "address": str(wiring.NODE_IPV6)},
            # Asked first by the API server (--kubelet-preferred-address-types).
            {"type": "Hostname", "address": "127.0.0.1"},
        ]
        endpoint = {"kubeletEndpoint": {"Port": self._server.server_address[1]}}
        status = {"status": {"addresses": addresses, "daemonEndpoints": endpoint}}
        self.world.api.patch("Node", "", wiring.NODE_NAME, status, "status")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        for name in list(self._pods):
            self._take_away(name)
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    # Pods.

    def _work(self) -> None:
        try:
            while not self._ending.wait(_EVERY):
                self._look()
        except BaseException as error:
            self.failure = error
            raise

    def _look(self) -> None:
        found = {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod
            for pod in self.world.api.list("Pod")
        }
        for name, pod in found.items():
            known = self._pods.get(name)
            if known is not None and "deletionTimestamp" in pod["metadata"]:
                self._take_away(name)
                self.world.api.delete("Pod", *name.split("/"), grace=0)
            elif known is not None:
                self._keep(name, known)
            elif "nodeName" not in pod["spec"]:
                self._start(name, pod)
        for name in set(self._pods) - set(found):
            self._take_away(name)

    def _start(self, name: str, pod: Object) -> None:
        namespace, own = name.split("/")
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": own},
            "target": {"apiVersion": "v1", "kind": "Node", "name": wiring.NODE_NAME},
        }
        try:
            self.world.api.request("POST", f"/api/v1/namespaces/{namespace}/pods/{own}/binding", binding)
        except ApiError as error:
            if error.status in (404, 409):
                return  # gone again
            raise
        self.world.wire_pod(namespace, own, {"TCP": ()})
        party = self.world.parties[name]
        log = Path(self._folder.name) / f"{pod['metadata']['uid']}.log"
        container = pod["spec"]["containers"][0]
        command = [*container.get("command", ()), *container.get("args", ())]
        program = sys.executable if command[0] == "python" else command[0]
        with log.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_ENTER), party.netns.path, program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(OPERATOR)},
                start_new_session=True,
            )
        lasts = pod["spec"].get("activeDeadlineSeconds")
        deadline = time.monotonic() + lasts if lasts else float("inf")
        self._pods[name] = _Running(pod["metadata"]["uid"], process, log, deadline)
        state = {"running": {"startedAt": _now()}}
        self._tell(
            name, running(party.addresses) | {"containerStatuses": [_status(container["name"], state)]}
        )

    def _keep(self, name: str, pod: _Running) -> None:
        """Tell of its end, by itself or by its deadline."""
        if pod.ended:
            return
        code, late = pod.process.poll(), time.monotonic() > pod.deadline
        if code is None and not late:
            return
        pod.process.kill()
        pod.ended = True
        reason = {"reason": "DeadlineExceeded"} if late else {}
        self._tell(name, {"phase": "Failed" if late or code else "Succeeded", **reason})

    def _take_away(self, name: str) -> None:
        pod = self._pods.pop(name)
        pod.process.kill()
        pod.process.wait()
        party = self.world.parties.pop(name)
        self.world.listener.remove(name)
        wiring.disconnect(self.world.node, party.number)
        party.netns.close()

    def _tell(self, name: str, status: dict[str, Any]) -> None:
        namespace, own = name.split("/")
        try:
            self.world.api.patch("Pod", namespace, own, {"status": status}, "status")
        except ApiError as error:
            if error.status != 404:
                raise

    # Logs.

    def _serve(self) -> ThreadingHTTPServer:
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                content = kubelet._log(url.path, parse_qs(url.query))
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        folder = self.world.cluster.directory
        # Any certificate will do: the API server is not told by whom a kubelet's is signed.
        context.load_cert_chain(folder / "serving.crt", folder / "serving.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return server

    def _log(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        _, _, namespace, name, _ = path.split("/")
        pod = self._pods.get(f"{namespace}/{name}")
        if pod is None:
            return None
        lines = pod.log.read_bytes().splitlines(keepends=True)
        tail = query.get("tailLines")
        return b"".join(lines[-int(tail[0]) :] if tail else lines)


def _status(container: str, state: dict[str, Any]) -> Object:
    return {
        "name": container,
        "state": state,
        "ready": True,
        "restartCount": 0,
        "image": "",
        "imageID": "",
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

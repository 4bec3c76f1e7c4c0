"""An independent witness: every event on every managed NetworkPolicy, as the API server tells it.

It shares no code with the operator. What counts is what stood in the API server at each moment, not
what anybody says of it: a policy that was missing or different for a millisecond is in the record.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from client import ALL_POLICIES, Client, Refused

LABEL = "tenantprofile.dev/profile"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One event; `at` in seconds of the monotonic clock, `type` ADDED, MODIFIED or DELETED."""

    at: float
    type: str
    namespace: str
    name: str
    spec: str
    """The spec as canonical JSON, so that two can be compared."""
    manager: str
    """The field manager that wrote last."""
    version: int
    uid: str = ""


class Referee:
    """Watches from `__enter__` on. Survives restarts of the API server; a gap in the watch is an error."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = Client(kubeconfig)
        self.sightings: list[Sighting] = []
        self.at_start: dict[tuple[str, str], str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failure: BaseException | None = None
        self._version = ""

    def __enter__(self) -> Self:
        answer = self._client.get(ALL_POLICIES, labelSelector=LABEL)
        self._version = answer["metadata"]["resourceVersion"]
        for item in answer["items"]:
            self.at_start[item["metadata"]["namespace"], item["metadata"]["name"]] = spec_of(item)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def catch_up(self) -> None:
        """Wait until everything that has happened so far is in the record."""
        target = int(self._client.get(ALL_POLICIES, limit="1")["metadata"]["resourceVersion"])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.failure is not None:
                raise AssertionError(f"the referee lost sight: {self.failure!r}")
            # Versions are shared by all kinds; quiet for a moment beyond the newest of ours is enough.
            newest = int(self._version)
            if newest >= target:
                return
            own = self._client.get(ALL_POLICIES, labelSelector=LABEL)["items"]
            if all(int(item["metadata"]["resourceVersion"]) <= newest for item in own):
                time.sleep(0.2)
                return
            time.sleep(0.02)

    def of(self, namespace: str, name: str | None = None) -> list[Sighting]:
        """What was seen of a namespace, or of one policy."""
        return [s for s in list(self.sightings) if s.namespace == namespace and name in (None, s.name)]

    def deletions(self) -> list[Sighting]:
        return [s for s in list(self.sightings) if s.type == "DELETED"]

    def writes(self) -> list[Sighting]:
        return list(self.sightings)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for event in self._client.watch(
                    ALL_POLICIES, self._version, labelSelector=LABEL, allowWatchBookmarks="true"
                ):
                    if self._stop.is_set():
                        return
                    self._take(event)
            except Refused as error:
                if error.status == 410:
                    self.failure = error
                    return
                time.sleep(0.05)
            except (OSError, ValueError):
                # The API server is being stopped; the watch goes on from the last version seen.
                time.sleep(0.05)

    def _take(self, event: dict[str, Any]) -> None:
        body = event["object"]
        if event["type"] == "ERROR":
            if body.get("code") == 410:
                self.failure = Refused(410, body)
                self._stop.set()
            return
        metadata = body["metadata"]
        self._version = metadata["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        fields = metadata.get("managedFields") or [{}]
        self.sightings.append(
            Sighting(
                time.monotonic(),
                event["type"],
                metadata["namespace"],
                metadata["name"],
                spec_of(body),
                str(max(fields, key=lambda entry: entry.get("time") or "").get("manager")),
                int(metadata["resourceVersion"]),
                metadata.get("uid", ""),
            )
        )


JSON_IN_STORAGE: Final = "--storage-media-type=application/json"
"""The flag with which kube-apiserver keeps built-in kinds in etcd as JSON; what `StorageReferee` needs."""


class StorageReferee(Referee):
    """The same record, read from etcd itself: what was stored, whether or not an API server was there to tell.

    No watch cache, no restart and no fault between operator and API server can hide a moment from it. It
    watches every NetworkPolicy, managed or not, and keeps those that carry our label or once did.
    """

    _PREFIX: Final = "/registry/networkpolicies/"
    # Beside the API server's own keys and within the watched range: a barrier that shows up in the stream.
    _MARK: Final = "/registry/networkpolicies~referee"
    _END: Final = "/registry/networkpoliciet"

    def __init__(self, kubeconfig: Path, etcd_url: str) -> None:
        super().__init__(kubeconfig)
        self._etcd = etcd_url
        self._known: dict[str, dict[str, Any]] = {}
        self._marks = 0
        self._reached = 0

    def __enter__(self) -> Self:
        answer = self._post("/v3/kv/range", {"key": _text(self._PREFIX), "range_end": _text(self._MARK)})
        for entry in answer.get("kvs", []):
            self._remember(_content(entry), int(entry["mod_revision"]))
        self._version = answer["header"]["revision"]
        self.at_start = {
            (body["metadata"]["namespace"], body["metadata"]["name"]): spec_of(body)
            for body in self._known.values()
        }
        self._thread.start()
        return self

    @property
    def version(self) -> int:
        """The newest revision in the record: history before it is not needed any more."""
        return int(self._version)

    def forget_history(self) -> None:
        """Compact etcd as far as this record has come: others lose their place in history, this one not."""
        self._post("/v3/kv/compaction", {"revision": self._version, "physical": True})

    def catch_up(self) -> None:
        """Wait until everything that has happened so far is in the record."""
        self._marks += 1
        mark = self._marks
        self._post("/v3/kv/put", {"key": _text(self._MARK), "value": _text(str(mark))})
        deadline = time.monotonic() + 60
        while self._reached < mark:
            if self.failure is not None:
                raise AssertionError(f"the referee lost sight: {self.failure!r}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the referee is behind: revision {self._version}")
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except Refused as error:
                self.failure = error
                return
            except (OSError, ValueError, http.client.HTTPException):
                # etcd is being stopped; the watch goes on from the revision after the last one seen.
                time.sleep(0.05)

    def _follow(self) -> None:
        address = urlsplit(self._etcd)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            asked = {
                "key": _text(self._PREFIX),
                "range_end": _text(self._END),
                "start_revision": str(int(self._version) + 1),
                "prev_kv": True,
            }
            connection.request("POST", "/v3/watch", json.dumps({"create_request": asked}))
            response = connection.getresponse()
            for line in response:
                if self._stop.is_set():
                    return
                self._take_revision(json.loads(line))
        finally:
            connection.close()

    def _take_revision(self, message: dict[str, Any]) -> None:
        result = message.get("result") or {}
        if message.get("error") or result.get("canceled"):
            # Compacted beyond what was read: there is a gap in the record, which makes it worthless.
            raise Refused(410, message)
        for event in result.get("events") or []:
            entry = event["kv"]
            revision = int(entry["mod_revision"])
            key = base64.b64decode(entry["key"]).decode()
            if key == self._MARK:
                self._reached = int(base64.b64decode(entry.get("value", "")) or 0)
            elif event.get("type") == "DELETE":
                body = self._known.pop(key, None)
                if body is not None:
                    body["metadata"]["resourceVersion"] = str(revision)
                    self._take({"type": "DELETED", "object": body})
            else:
                body = _content(entry)
                before = key in self._known
                if self._remember(body, revision):
                    self._take({"type": "MODIFIED" if before else "ADDED", "object": body})
            self._version = str(revision)

    def _remember(self, body: dict[str, Any], revision: int) -> bool:
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(revision)
        key = f"{self._PREFIX}{metadata['namespace']}/{metadata['name']}"
        if LABEL not in (metadata.get("labels") or {}) and key not in self._known:
            return False
        self._known[key] = body
        return True

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._etcd}{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        # Loopback is never behind a proxy, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            content: dict[str, Any] = json.load(answer)
        return content


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _content(entry: dict[str, Any]) -> dict[str, Any]:
    raw = base64.b64decode(entry["value"])
    if not raw.startswith(b"{"):
        raise ValueError(f"storage is not JSON; start kube-apiserver with {JSON_IN_STORAGE}")
    content: dict[str, Any] = json.loads(raw)
    return content


def spec_of(body: dict[str, Any]) -> str:
    """A policy's spec as canonical JSON."""
    return json.dumps(body.get("spec") or {}, sort_keys=True)

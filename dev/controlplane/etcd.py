"""The three requests to etcd that tests need, over its JSON gateway.

etcd.io/docs: "Why gRPC gateway". Keys and values are base64, 64-bit numbers
are strings.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

# Loopback is never behind a proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def healthy(url: str) -> bool:
    """Whether etcd answers and has a leader."""
    try:
        with _opener.open(f"{url}/health", timeout=5) as answer:
            return bool(json.load(answer).get("health") == "true")
    except (OSError, ValueError):
        return False


def compact(url: str) -> int:
    """Forget every revision before the current one, and return that.

    Compacting twice without a write in between is no error.
    """
    current = _post(url, "/v3/kv/range", {"key": base64.b64encode(b"\0").decode(), "count_only": True})
    revision = int(current["header"]["revision"])
    try:
        _post(url, "/v3/kv/compaction", {"revision": str(revision), "physical": True})
    except urllib.error.HTTPError as refusal:
        if b"has been compacted" not in refusal.read():
            raise
    return revision


def put(url: str, key: str, value: str) -> None:
    """Store a value as it is, past the API server: an object of an earlier time with its own uid, say."""
    _post(url, "/v3/kv/put", {name: _encoded(text) for name, text in (("key", key), ("value", value))})


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _post(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with _opener.open(request, timeout=30) as answer:
        content: dict[str, Any] = json.load(answer)
    return content

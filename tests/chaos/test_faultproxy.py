"""The proxy does to requests what it says, and nothing to the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from client import NAMESPACES, Client, Object, Refused, eventually
from controlplane import ControlPlane
from faultproxy import Fault, FaultProxy

WRITES = frozenset({"write"})


@pytest.fixture(scope="module")
def proxy(cp: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(cp) as running:
        yield running


@pytest.fixture
def client(cp: ControlPlane, proxy: FaultProxy) -> Client:
    return Client(proxy.kubeconfig(cp.admin_kubeconfig))


def namespace(name: str) -> Object:
    return {"metadata": {"name": name}}


def test_without_faults_it_is_not_noticed(client: Client) -> None:
    client.create(NAMESPACES, namespace("by-proxy"))
    assert client.get(f"{NAMESPACES}/by-proxy")["metadata"]["name"] == "by-proxy"
    client.delete(f"{NAMESPACES}/by-proxy")
    with pytest.raises(Refused, match="not found"):
        client.get(f"{NAMESPACES}/never-there")


def test_a_refusal_hits_the_requests_that_it_names(client: Client, proxy: FaultProxy) -> None:
    with proxy.trouble(Fault("no", on=WRITES, answer=429, retry_after="1")):
        client.get(NAMESPACES)
        with pytest.raises(Refused) as refused:
            client.create(NAMESPACES, namespace("refused"))
    assert refused.value.status == 429
    assert client.find(f"{NAMESPACES}/refused") is None
    assert proxy.hits["no"] == 1


def test_a_write_takes_effect_before_its_connection_breaks(client: Client, proxy: FaultProxy) -> None:
    # The client tries twice; the second time, what the first has made is in the way.
    with proxy.trouble(Fault("unheard", on=WRITES, breaks="after")), pytest.raises(OSError, match=r"."):
        client.create(NAMESPACES, namespace("unheard"))
    assert client.find(f"{NAMESPACES}/unheard") is not None
    client.delete(f"{NAMESPACES}/unheard")


def test_a_connection_breaks_before_the_write_takes_effect(client: Client, proxy: FaultProxy) -> None:
    with proxy.trouble(Fault("never", on=WRITES, breaks="before")), pytest.raises(OSError, match=r"."):
        client.create(NAMESPACES, namespace("never"))
    assert client.find(f"{NAMESPACES}/never") is None


def test_watches_are_silent_expire_and_go_on(client: Client, proxy: FaultProxy) -> None:
    version = client.get(NAMESPACES)["metadata"]["resourceVersion"]
    events: list[Object] = []
    reader = threading.Thread(target=lambda: events.extend(client.watch(NAMESPACES, version)), daemon=True)
    reader.start()
    eventually(lambda: proxy._streams)
    proxy.hold_watches()
    client.create(NAMESPACES, namespace("watched"))
    time.sleep(0.3)
    proxy.release_watches()
    time.sleep(0.3)
    assert proxy.end_watches("expire") == 1
    reader.join(10)
    assert not reader.is_alive()
    assert events[0]["type"] == "ADDED"
    assert events[-1]["object"]["code"] == 410
    client.delete(f"{NAMESPACES}/watched")

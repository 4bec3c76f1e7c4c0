"""One cluster with its operators: the real classes of the operator over the model, and a judge who watches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Final
from unittest import mock

import orjson

from model.judge import PROFILE, Judge, baselines, is_marked, names_of, wanted
from model.loop import VirtualLoop
from model.network import Network
from model.objects import Object
from model.server import ModelServer
from tenantprofile.cluster.api import Api
from tenantprofile.controller import operator as process
from tenantprofile.controller import render_process
from tenantprofile.controller.operator import Settings, _Operator
from tenantprofile.controller.renderer import ProcessRenderer

SYSTEM: Final = "tenantprofile-system"
WORKERS: Final = 32
CONNECTIONS: Final = 48
"""As shipped."""


class InProcessRenderer(ProcessRenderer):
    """Renders PolicyTemplates in this process: nothing may come from outside of the loop."""

    async def _ask(self, request: bytes) -> bytes | None:
        self.renders += 1
        return orjson.dumps(render_process.answer(orjson.loads(request)))


class ModelOperator(_Operator):
    """The process as it is, but for Kopf, which handles signals alone, and the process that renders."""

    async def _kopf(self) -> None:
        await asyncio.Event().wait()


class Instance:
    """A running operator, its network and the objects that a test looks at."""

    def __init__(self, world: World, identity: str, **settings: Any) -> None:
        self.network = Network(world.server, identity)
        with world.loop._clock(), mock.patch.object(process, "ProcessRenderer", InProcessRenderer):
            self.operator = ModelOperator(
                Settings(
                    identity=identity, probe_port=0, workers=WORKERS, connections=CONNECTIONS, **settings
                ),
                None,  # type: ignore[arg-type]
                Api(self.network, connections=CONNECTIONS),
            )
        self.task: asyncio.Task[None] = world.loop.create_task(self.operator.run())

    @property
    def controller(self) -> Any:
        return self.operator._controller

    @property
    def ready(self) -> bool:
        return self.operator._may_write.is_set()


class World:
    """A model server, a loop with virtual time, and any number of operators."""

    def __init__(self) -> None:
        random.seed(1)
        self.loop = VirtualLoop()
        self.server = ModelServer(self.loop.time)
        self.instances: list[Instance] = []
        self.networks: dict[str, Network] = {}

    def start(self, identity: str = "operator", **settings: Any) -> Instance:
        instance = Instance(self, identity, **settings)
        self.instances.append(instance)
        self.networks[identity] = instance.network
        return instance

    def stop(self, instance: Instance, *, crash: bool = False) -> None:
        """End an operator; `crash`: its last requests do not arrive."""
        if crash:
            instance.network.down = True
        instance.network.open()
        instance.task.cancel()
        self.loop.run(asyncio.wait([instance.task], timeout=30))
        self.instances.remove(instance)

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass; an operator that ended by itself is an error."""
        self.loop.run_for(seconds)
        for instance in self.instances:
            if instance.task.done():
                instance.task.result()
                raise AssertionError("the operator has ended by itself")

    def end(self) -> None:
        self.loop.end()

    def judge(self) -> None:
        """Nothing was done wrong on the way."""
        complaints = Judge(self.server, self.networks).complaints()
        assert not complaints, "\n".join(complaints)

    def drain(self, seconds: float = 200.0) -> None:
        """Nothing stands in the way any more, and time passes: longer than the longest back-off."""
        self.server.webhooks.clear()
        self.server.quotas.clear()
        for instance in self.instances:
            instance.network.down = instance.network.silent = False
            instance.network.faults.clear()
            instance.network.open()
        self.run_for(seconds)

    def assert_converged(self, *, taken: Iterable[tuple[str, str]] = ()) -> None:
        """Cache and server are equal, and every namespace holds what it should; `taken`: names of foreign objects."""
        self.assert_caches_equal()
        wanted_now = wanted(self.server.objects)
        for place, spec in wanted_now.items():
            if place in taken:
                continue
            body = self.server.get("networkpolicies", place[1], place[0])
            assert body is not None, f"{place} is missing"
            assert body["spec"] == spec, f"{place} is not as desired"
        self.assert_marks_are_true(taken=taken)
        self.assert_status_is_true(taken=taken)

    def marks(self, namespace: str) -> set[str]:
        """Names of the policies that bear the mark of a complete baseline."""
        return {name for name, body in self.policies(namespace).items() if is_marked(body)}

    def assert_marks_are_true(self, *, taken: Iterable[tuple[str, str]] = ()) -> None:
        """One policy of each complete baseline has the mark, and none that is wanted where there is no baseline."""
        asked = baselines(self.server.objects)
        for (_, namespace), body in self.server.all("namespaces").items():
            if body["metadata"].get("deletionTimestamp"):
                continue
            marks = self.marks(namespace)
            if namespace not in asked:
                wanted_here = {name for space, name in wanted(self.server.objects) if space == namespace}
                assert not marks & wanted_here - {n for s, n in taken if s == namespace}, (
                    f"{namespace}: {marks}"
                )
            elif (baseline := asked[namespace]) and not any((namespace, name) in taken for name in baseline):
                assert len(marks & baseline.keys()) == 1, f"{namespace}: {marks} of {set(baseline)}"

    def assert_caches_equal(self) -> None:
        for instance in self.instances:
            for informer in instance.controller.informers:
                here = {
                    key: int(body["metadata"]["resourceVersion"])
                    for key, body in self.server.all(informer.kind).items()
                    if informer.kind != "networkpolicies" or PROFILE in (body["metadata"].get("labels") or {})
                }
                store = informer.store
                there = {key: store.version(key) for key, _ in store.items()}
                assert there == here, f"{informer.kind}: cache {there}, server {here}"

    def assert_status_is_true(self, *, taken: Iterable[tuple[str, str]] = ()) -> None:
        """Each profile says Ready exactly when all of its policies stand as it asks for."""
        wanted_now = wanted(self.server.objects)
        for (_, name), profile in self.server.all("tenantprofiles").items():
            if profile["spec"].get("suspend"):
                continue
            mine = {place for place in wanted_now if place[1].rpartition(".")[0] == name}
            ready = (
                bool(mine)
                and not any(place in taken for place in mine)
                and None not in names_of(profile).values()
            )
            assert self.is_ready(name) == ready, f"{name}: {self.status(name)}"

    # --- people ---

    def namespace(self, name: str, **labels: str) -> Object:
        body = {"metadata": {"name": name, "labels": labels or {"tenant": "yes"}}}
        return self.server.create("namespaces", body)

    def relabel(self, name: str, **labels: str | None) -> None:
        self.server.patch("namespaces", name, {"metadata": {"labels": labels}})

    def profile(self, name: str = "p", *entries: Any, **spec: Any) -> Object:
        """Create a profile, or replace its spec."""
        policies = [{"template": e} if isinstance(e, str) else e for e in entries or ("default-deny",)]
        selector = {"matchLabels": {"tenant": "yes"}}
        whole = {"namespaceSelector": selector, "policies": policies, **spec}
        body = {
            "apiVersion": "tenantprofile.dev/v1alpha1",
            "kind": "TenantProfile",
            "metadata": {"name": name},
            "spec": whole,
        }
        known = self.server.get("tenantprofiles", name)
        if known is None:
            return self.server.create("tenantprofiles", body)
        known["spec"] = whole
        return self.server.request("PUT", f"/apis/tenantprofile.dev/v1alpha1/tenantprofiles/{name}", known)

    def template(self, name: str, text: str) -> Object:
        spec = {"description": "of a test", "template": text}
        known = self.server.get("policytemplates", name)
        if known is None:
            return self.server.create("policytemplates", {"metadata": {"name": name}, "spec": spec})
        return self.server.patch("policytemplates", name, {"spec": spec})

    # --- what there is ---

    def policies(self, namespace: str) -> dict[str, Object]:
        return {name: body for (_, name), body in self.server.all("networkpolicies", namespace).items()}

    def names(self, namespace: str) -> set[str]:
        return set(self.policies(namespace))

    def status(self, name: str = "p") -> Object:
        profile = self.server.get("tenantprofiles", name)
        assert profile is not None
        found: Object = profile.get("status") or {}
        return found

    def condition(self, kind: str, name: str = "p") -> str:
        for condition in self.status(name).get("conditions", []):
            if condition["type"] == kind:
                return str(condition["status"])
        return "none"

    def is_ready(self, name: str = "p") -> bool:
        """What `kubectl wait --for=condition=Ready` with a look at observedGeneration says."""
        profile = self.server.get("tenantprofiles", name)
        assert profile is not None
        status = profile.get("status") or {}
        return self.condition("Ready", name) == "True" and (
            status.get("observedGeneration") == profile["metadata"]["generation"]
        )

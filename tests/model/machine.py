"""People, rivals, webhooks and a bad network against the real operator, in every order that hypothesis finds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from model.judge import MARK, names_of, wanted
from model.network import Stage
from model.server import Refused, Request, Webhook
from model.world import World

NAMESPACES = ("a", "b", "c")
PROFILES = ("p", "q")
DENY: dict[str, Any] = {"template": "default-deny"}
DENY_INGRESS: dict[str, Any] = {"template": "default-deny", "parameters": {"directions": ["Ingress"]}}
ALLOW: dict[str, Any] = {"template": "same-namespace"}
ALLOW_PORT: dict[str, Any] = {"template": "same-namespace", "parameters": {"ports": [8080]}}
BROKEN: dict[str, Any] = {"template": "not-there", "name": "same-namespace"}
ENTRIES = ([DENY], [DENY, ALLOW], [DENY_INGRESS, ALLOW_PORT], [ALLOW], [DENY, BROKEN])
OPEN = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}

namespaces = st.sampled_from(NAMESPACES)
profiles = st.sampled_from(PROFILES)
names = st.sampled_from([f"{p}.{e}" for p in PROFILES for e in ("default-deny", "same-namespace")])


class Interleavings(RuleBasedStateMachine):
    """Each rule is one thing that happens; nothing else moves unless time passes or a gate is released."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.starts = 0
        self.foreign: set[tuple[str, str]] = set()
        self.backup: Any = None
        self.plain = True
        """No profile was deleted so far, nor anything restored: nothing may be left of what nobody wants."""
        self.held: set[tuple[Stage, str]] = set()

    @initialize()
    def begin(self) -> None:
        self.world.namespace("a")
        self.world.profile("p", DENY, ALLOW, podAdmission="RequireBaseline")
        self._start()
        self.world.run_for(3)

    def _start(self) -> None:
        self.starts += 1
        self.instance = self.world.start(f"operator-{self.starts}")

    @property
    def network(self) -> Any:
        return self.instance.network

    # --- people ---

    @rule(name=namespaces, tenant=st.sampled_from(["yes", "no"]))
    def namespace(self, name: str, tenant: str) -> None:
        with suppress(Refused):
            self.world.namespace(name, tenant=tenant)

    @rule(name=namespaces, tenant=st.sampled_from(["yes", "no"]))
    def relabel(self, name: str, tenant: str) -> None:
        with suppress(Refused):
            self.world.relabel(name, tenant=tenant)

    @rule(name=namespaces, finish=st.booleans())
    def end_namespace(self, name: str, finish: bool) -> None:
        with suppress(Refused):
            self.world.server.delete("namespaces", name)
        if finish:
            self.world.server.finish_namespaces()
            self.foreign = {
                place
                for place in self.foreign
                if self.world.server.get("networkpolicies", place[1], place[0])
            }

    @rule(
        name=profiles,
        entries=st.sampled_from(ENTRIES),
        suspend=st.booleans(),
        admission=st.sampled_from(["Immediate", "RequireBaseline"]),
    )
    def profile(self, name: str, entries: list[Any], suspend: bool, admission: str) -> None:
        # Always the same for one name: the history does not say for which profile of it a policy was written.
        policy = "Delete" if name == "p" else "Retain"
        self.world.profile(name, *entries, suspend=suspend, deletionPolicy=policy, podAdmission=admission)

    @rule(name=profiles)
    def end_profile(self, name: str) -> None:
        self.plain = False
        with suppress(Refused):
            self.world.server.delete("tenantprofiles", name)

    # --- rivals ---

    @rule(namespace=namespaces, name=names)
    def delete_policy(self, namespace: str, name: str) -> None:
        with suppress(Refused):
            self.world.server.delete("networkpolicies", name, namespace)
            self.foreign.discard((namespace, name))

    @rule(namespace=namespaces, name=names)
    def open_policy(self, namespace: str, name: str) -> None:
        with suppress(Refused):
            self.world.server.patch("networkpolicies", name, {"spec": OPEN | {"egress": None}}, namespace)

    @rule(namespace=namespaces, name=names, mark=st.sampled_from(["true", None]))
    def forge(self, namespace: str, name: str, mark: str | None) -> None:
        with suppress(Refused):
            patch = {"metadata": {"labels": {MARK: mark}}}
            self.world.server.patch("networkpolicies", name, patch, namespace)

    @rule(namespace=namespaces, name=names)
    def strip(self, namespace: str, name: str) -> None:
        with suppress(Refused):
            patch = {"metadata": {"labels": None, "annotations": None}}
            self.world.server.patch("networkpolicies", name, patch, namespace)

    @rule(namespace=namespaces, name=names)
    def foreign_policy(self, namespace: str, name: str) -> None:
        with suppress(Refused):
            self.world.server.create(
                "networkpolicies", {"metadata": {"name": name}, "spec": OPEN}, namespace=namespace
            )

    # --- the network, and what stands in the way ---

    @rule(
        stage=st.sampled_from(["request", "answer", "event"]),
        part=st.sampled_from(["networkpolicies", "namespaces", "tenantprofiles"]),
    )
    def hold(self, stage: Stage, part: str) -> None:
        self.held.add((stage, part))
        held = self.held

        def holds(at: Stage, request: Request) -> bool:
            plural = next(
                (word for word in ("networkpolicies", "tenantprofiles") if word in request.path), ""
            )
            plural = plural or ("namespaces" if request.path.startswith("/api/v1/namespaces") else "")
            return (at, plural) in held

        self.network.holds = holds

    @precondition(lambda self: self.network.pending)
    @rule(which=st.integers(min_value=0, max_value=30))
    def release(self, which: int) -> None:
        pending = self.network.pending
        self.network.release(pending[which % len(pending)])
        self.world.run_for(0.01)

    @rule()
    def open(self) -> None:
        self.held.clear()
        self.network.open()
        self.world.run_for(0.01)

    @rule(
        when=st.sampled_from(["before", "after"]),
        method=st.sampled_from(["POST", "PUT", "DELETE", "PATCH", "GET"]),
    )
    def lose(self, when: Any, method: str) -> None:
        self.network.lose(when, method)

    @rule(compact=st.booleans())
    def cut(self, compact: bool) -> None:
        if compact:
            self.world.server.compact()
        self.network.cut()

    @rule(down=st.booleans())
    def reach(self, down: bool) -> None:
        self.network.down = down

    @rule(namespace=namespaces, hangs=st.booleans())
    def webhook(self, namespace: str, hangs: bool) -> None:
        def matches(request: Request, key: Any) -> bool:
            return (
                key[0] == "networkpolicies" and key[1] == namespace and request.actor.startswith("operator")
            )

        self.world.server.webhooks.append(Webhook(matches, code=0 if hangs else 403, hangs=hangs))

    @rule(namespace=namespaces, room=st.integers(min_value=0, max_value=3))
    def quota(self, namespace: str, room: int) -> None:
        self.world.server.quotas[namespace] = room

    @rule()
    def back_up(self) -> None:
        self.backup = self.world.server.backup()

    @precondition(lambda self: self.backup is not None)
    @rule(cut=st.booleans())
    def restore(self, cut: bool) -> None:
        self.plain = False
        # At an unchanged revision nothing but its end tells that a watch is dead; the full comparison is far away.
        cut = cut or self.backup[0] == self.world.server.revision
        self.world.server.restore(self.backup)
        if cut:
            self.network.cut()

    @rule(seconds=st.sampled_from([0.01, 1.0, 10.0]))
    def kinds_come_and_go(self, seconds: float) -> None:
        self.plain, self.backup = False, None
        self.world.server.vanish("tenantprofiles", "policytemplates")
        self.world.run_for(seconds)
        self.world.server.appear("tenantprofiles", "policytemplates")

    @rule()
    def no_webhook(self) -> None:
        self.world.server.webhooks.clear()

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        self.held.clear()
        self.world.stop(self.instance, crash=crash)
        self._start()
        self.world.run_for(0.01)

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.1, 1.0, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.world.run_for(seconds)

    # --- the end ---

    @rule()
    def check(self) -> None:
        """Nothing stands in the way any more: everything is as it should be."""
        self.held.clear()
        self.world.drain()
        self.world.judge()
        self.world.assert_converged(taken=self.taken())
        if self.plain:
            assert not self.left_over()

    def left_over(self) -> set[tuple[str, str]]:
        """Policies that no profile wants; where an entry is broken or a name taken, nothing is removed."""
        server = self.world.server
        wanted_now = wanted(server.objects)
        left = set(server.all("networkpolicies")) - set(wanted_now) - self.taken()
        for (_, name), profile in server.all("tenantprofiles").items():
            excused = profile["spec"].get("suspend") or None in names_of(profile).values()
            held = {namespace for namespace, taken in self.taken() if taken.startswith(f"{name}.")}
            left -= {p for p in left if p[1].startswith(f"{name}.") and (excused or p[0] in held)}
        return {
            place
            for place in left
            if not server.objects["namespaces", "", place[0]]["metadata"].get("deletionTimestamp")
        }

    def taken(self) -> set[tuple[str, str]]:
        """Names that foreign objects have, which the operator has to leave alone."""
        return {
            (namespace, name)
            for (namespace, name), body in self.world.server.all("networkpolicies").items()
            if body["spec"] == OPEN
            and "tenantprofile.dev/applied-digest" not in body["metadata"].get("annotations", {})
        }

    def teardown(self) -> None:
        try:
            if hasattr(self, "instance"):
                self.check()
        finally:
            self.world.end()

"""The tenants of one campaign: what the test wants of the cluster, and everything that it does to it.

Whatever is done is recorded with the revisions between which it happened, so that afterwards each moment
can be judged. An act is repeated until it is known to have gone through: the API server may be away.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final, TypeVar

from chaos.verdict import Key, Wish
from client import ALL_POLICIES, NAMESPACES, PROFILES, TEMPLATES, Client, Object, Refused, policies_of
from referee import StorageReferee, spec_of
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.profile import parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import builtin_templates, load_policy_template

Value = TypeVar("Value")

OWN_EDIT: Final = re.compile(r'"198\.1[89]\.\d+\.\d+/32"')
"""What the test's edits of managed policies contain, each its own address (RFC 2544's range)."""
EDITS_PER_MINUTE: Final = 3
"""Of one policy: more would be a fight, which the operator slows down on purpose."""
PATIENCE: Final = 120.0


class Estate:
    """Namespaces labelled `chaos=<tag>`, two profiles, a template of its own, and foreign policies."""

    def __init__(self, client: Client, referee: StorageReferee, tag: str, seed: int) -> None:
        self.client = client
        self.tag = tag
        self.random = random.Random(seed)
        self.acts: Counter[str] = Counter()
        self.wishes: dict[Key, list[Wish]] = {}
        self.own_deletions: set[str] = set()
        self.namespaces: dict[str, bool] = {}
        """By name: whether it is labelled. Deleted ones are not in it."""
        self.releasing: set[str] = set()
        self.foreign: dict[str, Object] = {}
        self.stopping = threading.Event()
        self._referee = referee
        self._serial = 0
        self._edits: dict[Key, list[float]] = {}
        self._stored: dict[str, str] = {}
        self._past: list[ProfilePlan] = []
        self.held_back: set[Key] = set()
        """No longer wanted, and kept because a foreign object takes the name of another policy there."""
        self._extras: list[str] = []
        self._range = 0
        self._purpose = 0
        self._template: Object = {
            "apiVersion": "tenantprofile.dev/v1alpha1",
            "kind": "PolicyTemplate",
            "metadata": {"name": f"{tag}-named"},
            "spec": {
                "description": "prints the namespace's name, so that no two namespaces share a rendering",
                "template": "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n"
                "  - from:\n      - namespaceSelector: {{ namespace.name | namespaces_named }}\n",
            },
        }
        self._profiles: dict[str, Object] = {}
        self._plans: dict[str, ProfilePlan] = {}

    # --- setting up ---

    def found(self, count: int, *, foreign: int = 3) -> None:
        """Make the template, the namespaces and the profiles."""
        self._insist(lambda: self.client.apply(TEMPLATES, self._template, manager="platform-team"))
        for index in range(count):
            name = self._name()
            if index < foreign:
                self._create_namespace(name, labelled=False)
                self._place_foreign(name)
                self._label(name, True)
            else:
                self.create_namespace(name)
        self._apply("guard")
        self._apply("named")

    def make_profile(self, profile: str) -> None:
        """One that was deleted is made again, and with it the template that it asks for."""
        self._insist(lambda: self.client.apply(TEMPLATES, self._template, manager="platform-team"))
        self._apply(profile)

    def delete_profile(self, profile: str, propagation: str) -> None:
        """Delete one by that propagation policy; with `Orphan` its policies are wanted as they are."""
        begun = self._now()
        options = {"propagationPolicy": propagation}
        path = f"{PROFILES}/{self.tag}-{profile}"

        def gone() -> bool:
            try:
                self.client.request("DELETE", path, options)
            except Refused as error:
                if error.status != 404:
                    raise
            if self.client.find(path) is not None:
                raise Refused(503, {"message": f"{path} is still there"})
            return True

        self._insist(gone)
        if propagation != "Orphan":
            del self._plans[profile], self._profiles[profile]
            # Until it is made again, both are right: that they are there, and that they are removed.
            self._wish(begun, self._now(), list(self.namespaces))
        self.acts["profile deleted"] += 1

    def _body(self, profile: str) -> Object:
        if profile == "named":
            entries: list[Object] = [{"template": f"{self.tag}-named", "name": "named"}]
        else:
            entries = [
                {"template": "default-deny", "purpose": f"edition {self._purpose}"},
                {"template": "dns-egress"},
                {"template": "same-namespace"},
                {
                    "template": "cidr-egress",
                    "name": "systems",
                    "parameters": {"cidrs": [f"10.{self._range % 250}.{self._range // 250}.0/24"]},
                },
                *(
                    {
                        "template": "cidr-egress",
                        "name": name,
                        "parameters": {"cidrs": [f"172.16.{int(name.split('-')[1]) % 250}.0/24"]},
                    }
                    for name in self._extras
                ),
            ]
        return {
            "apiVersion": "tenantprofile.dev/v1alpha1",
            "kind": "TenantProfile",
            "metadata": {"name": f"{self.tag}-{profile}"},
            "spec": {"namespaceSelector": {"matchLabels": {"chaos": self.tag}}, "policies": entries},
        }

    # --- what the platform team does ---

    def change_profile(self) -> None:
        """A new range, one entry more, one entry less, or another purpose (which is metadata alone)."""
        what = self.random.choice(["range", "range", "more", "less", "purpose"])
        if what == "more" and len(self._extras) < 3:
            self._extras.append(self._new_entry())
        elif what == "less" and self._extras:
            self._extras.pop(self.random.randrange(len(self._extras)))
        elif what == "purpose":
            self._purpose += 1
        else:
            self._range += 1
        self._apply("guard")
        self.acts["profile changed"] += 1

    def add_entry(self) -> None:
        """The profile gets one entry more."""
        self._extras.append(self._new_entry())
        self._apply("guard")
        self.acts["profile changed"] += 1

    def _new_entry(self) -> str:
        # A name is never used twice, so that a removal decided earlier cannot be meant for it.
        self._serial += 1
        return f"extra-{self._serial}"

    def _apply(self, profile: str) -> None:
        body = self._body(profile)
        begun = self._now()
        answer = self._insist(lambda: self.client.apply(PROFILES, body, manager="platform-team"))
        self._profiles[profile] = answer
        templates = {
            **builtin_templates(),
            f"{self.tag}-named": load_policy_template(self._template),
        }
        if profile in self._plans:
            self._past.append(self._plans[profile])
        self._plans[profile] = ProfilePlan(parse_profile(answer), templates)
        self._wish(begun, int(answer["metadata"]["resourceVersion"]), list(self.namespaces))

    def create_namespace(self, name: str | None = None) -> str:
        """A new namespace, selected from its first moment."""
        name = name or self._name()
        self._create_namespace(name, labelled=True)
        self.acts["namespace created"] += 1
        return name

    def _create_namespace(self, name: str, *, labelled: bool) -> None:
        labels = {"chaos": self.tag} if labelled else {}
        begun = self._now()

        def create() -> Object:
            try:
                return self.client.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}})
            except Refused as error:
                if error.status != 409:
                    raise
                found = self.client.find(f"{NAMESPACES}/{name}")
                if found is None or found["metadata"].get("deletionTimestamp"):
                    raise Refused(503, {"message": f"{name} is still terminating"}) from error
                return found

        answer = self._insist(create)
        self.namespaces[name] = labelled
        self._wish(begun, int(answer["metadata"]["resourceVersion"]), [name])

    def delete_namespace(self, name: str | None = None) -> str:
        """One is deleted, with everything in it."""
        name = name or self.random.choice([n for n in self.namespaces if n not in self.foreign])
        begun = self._now()

        def delete() -> int:
            try:
                answer = self.client.request("DELETE", f"{NAMESPACES}/{name}")
                return int(answer["metadata"].get("resourceVersion") or self._now())
            except Refused as error:
                if error.status not in (404, 409):
                    raise
                return self._now()

        done = self._insist(delete)
        del self.namespaces[name]
        self.releasing.discard(name)
        for key in [key for key in self.wishes if key[0] == name]:
            self.wishes[key].append(Wish(begun, done, None, time.monotonic()))
        self.acts["namespace deleted"] += 1
        return name

    def relabel(self) -> None:
        """A namespace is released, or one that was released completely is selected again."""
        for name in list(self.releasing):
            if not self._insist(lambda n=name: self._managed(n)):  # type: ignore[misc]
                self.releasing.discard(name)
                self._label(name, True)
                self.acts["namespace selected"] += 1
                return
        chosen = [n for n, labelled in self.namespaces.items() if labelled and n not in self.foreign]
        if len(chosen) > 3:
            name = self.random.choice(chosen)
            self._label(name, False)
            self.releasing.add(name)
            self.acts["namespace released"] += 1

    def _label(self, name: str, on: bool) -> None:
        begun = self._now()
        change = {"metadata": {"labels": {"chaos": self.tag if on else None}}}
        answer = self._insist(lambda: self.client.merge(f"{NAMESPACES}/{name}", change))
        self.namespaces[name] = on
        self._wish(begun, int(answer["metadata"]["resourceVersion"]), [name])

    # --- what tenants do ---

    def tamper(self) -> None:
        """A tenant deletes a managed policy, or opens it."""
        key = self._victim()
        if key is None:
            return
        path = f"{policies_of(key[0])}/{key[1]}"
        found = self._insist(lambda: self.client.find(path))
        if found is None:
            return
        if self.random.random() < 0.5:
            self.own_deletions.add(found["metadata"]["uid"])
            options = {"preconditions": {"uid": found["metadata"]["uid"]}}
            self._try(lambda: self.client.request("DELETE", path, options))
            self.acts["policy deleted by a tenant"] += 1
        else:
            self._serial += 1
            address = f"198.18.{self._serial // 250}.{self._serial % 250}/32"
            direction, peers = self.random.choice([("ingress", "from"), ("egress", "to")])
            opened: Any = [{peers: [{"ipBlock": {"cidr": address}}]}]
            self._try(lambda: self.client.merge(path, {"spec": {direction: opened}}, manager="kubectl-edit"))
            self.acts["policy opened by a tenant"] += 1

    def _victim(self) -> Key | None:
        now = time.monotonic()
        for _ in range(20):
            key = self.random.choice(list(self.wishes))
            recent = [t for t in self._edits.get(key, []) if now - t < 60]
            wanted = self.wishes[key][-1].spec is not None and key not in self._conflicting
            if wanted and len(recent) < EDITS_PER_MINUTE:
                self._edits[key] = [*recent, now]
                return key
        return None

    def _place_foreign(self, namespace: str) -> None:
        """A tenant's own policy, and one that bears the name of a policy of ours."""
        for name in ("theirs", f"{self.tag}-guard.same-namespace"):
            body = {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": name},
                "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}, "policyTypes": ["Ingress"]},
            }
            self.client.create(policies_of(namespace), body)
        self.foreign[namespace] = {
            item["metadata"]["name"]: item for item in self.client.items(policies_of(namespace))
        }

    @property
    def _conflicting(self) -> set[Key]:
        return {(n, f"{self.tag}-guard.same-namespace") for n in self.foreign}

    # --- a stretch of life ---

    def live(
        self, pause: float, *, namespaces: bool = True, tenants: bool = True, profiles: bool = True
    ) -> None:
        """Acts in random order until `stopping`; run in a thread of its own."""
        acts: list[Callable[[], object]] = [self.change_profile] if profiles else []
        if tenants:
            acts += [self.tamper, self.tamper]
        if namespaces:
            acts += [self.relabel, self._come_and_go]
        while not self.stopping.is_set():
            self.random.choice(acts)()
            self.stopping.wait(self.random.uniform(0, 2 * pause))

    def _come_and_go(self) -> None:
        if len(self.namespaces) > 10 and self.random.random() < 0.5:
            self.delete_namespace()
        else:
            self.create_namespace()

    # --- what should be ---

    def desired(self, namespace: str) -> list[DesiredPolicy]:
        """By the product's own pure core."""
        if not self.namespaces.get(namespace):
            return []
        wanted = []
        for plan in self._plans.values():
            for item in plan.desired(_facts(namespace, self.tag)):
                assert isinstance(item, DesiredPolicy), item
                if (namespace, item.name) not in self._conflicting:
                    wanted.append(item)
        return wanted

    def _wish(self, begun: int, done: int, namespaces: list[str]) -> None:
        at = time.monotonic()
        for namespace in namespaces:
            wanted = {item.name: item for item in self.desired(namespace)}
            known = {name for space, name in self.wishes if space == namespace}
            for name in known | set(wanted):
                spec = self._as_stored(wanted[name]) if name in wanted else None
                wishes = self.wishes.setdefault((namespace, name), [])
                if wishes and wishes[-1].spec == spec:
                    continue
                if not wishes or wishes[-1].spec is None:
                    # An operator that has not heard of the profile's newest form yet acts on an older one.
                    since = wishes[-1].done if wishes else 0
                    wishes += [Wish(since, since, former) for former in self._former(namespace, name)]
                    wishes.append(Wish(since, since, None))
                wishes.append(Wish(begun, done, spec, at))

    def _former(self, namespace: str, name: str) -> list[str]:
        """What the profile's earlier forms wanted of a policy in a namespace, oldest first."""
        found: list[str] = []
        for plan in self._past:
            for item in plan.desired(_facts(namespace, self.tag)):
                if isinstance(item, DesiredPolicy) and item.name == name:
                    found.append(self._as_stored(item))
        return found

    def _as_stored(self, wanted: DesiredPolicy) -> str:
        """The spec as the API server stores it, asked of the API server, not of our own normal form."""
        manifest = wanted.manifest("default")
        key = json.dumps(manifest["spec"], sort_keys=True)
        if key not in self._stored:
            manifest["metadata"] = {"generateName": "try-"}
            path = policies_of("default")
            answer = self._insist(lambda: self.client.request("POST", path, manifest, dryRun="All"))
            self._stored[key] = spec_of(answer)
        return self._stored[key]

    def differences(self) -> list[str]:
        """What differs from what should be, all over the cluster; empty when everything is as desired."""
        found: dict[str, dict[str, Object]] = {}
        for item in self.client.items(ALL_POLICIES):
            found.setdefault(item["metadata"]["namespace"], {})[item["metadata"]["name"]] = item
        wrong: list[str] = []
        for namespace in self.namespaces:
            there = found.get(namespace, {})
            wanted = {item.name: item for item in self.desired(namespace)}
            foreign = self.foreign.get(namespace, {})
            for name in sorted({*there, *wanted} - set(foreign)):
                if foreign and name not in wanted:
                    # Nothing is removed from a namespace in which something wanted does not stand.
                    self.held_back.add((namespace, name))
                    continue
                wrong += self._difference(namespace, there.get(name), wanted.get(name), name)
            for name, before in foreign.items():
                if there.get(name) != before:
                    wrong.append(f"{namespace}/{name}: a foreign policy was touched")
        return wrong

    def _difference(
        self, namespace: str, found: Object | None, wanted: DesiredPolicy | None, name: str
    ) -> list[str]:
        place = f"{namespace}/{name}"
        if found is None:
            return [f"{place}: missing"]
        if wanted is None:
            return [f"{place}: not wanted and there"]
        manifest = wanted.manifest(namespace)
        wrong = []
        if spec_of(found) != self._as_stored(wanted):
            wrong.append(f"{place}: spec is {spec_of(found)}, should be {self._as_stored(wanted)}")
        for part in ("labels", "annotations", "ownerReferences"):
            there = found["metadata"].get(part)
            if part == "annotations":
                # A keyed digest, which nobody else can work out.
                there = {
                    key: value for key, value in (there or {}).items() if key != "tenantprofile.dev/seal"
                }
            if there != manifest["metadata"].get(part):
                wrong.append(f"{place}: {part} are {found['metadata'].get(part)}")
        return wrong

    def traces(self) -> list[str]:
        """Finalizers and annotations where the operator may leave none."""
        wrong = []
        for path, kind in ((NAMESPACES, "namespace"), (PROFILES, "profile"), (ALL_POLICIES, "policy")):
            for item in self.client.items(path):
                metadata = item["metadata"]
                if metadata["name"].startswith(self.tag) and metadata.get("finalizers"):
                    wrong.append(f"{kind} {metadata['name']} has finalizers {metadata['finalizers']}")
                if (
                    kind == "namespace"
                    and metadata["name"] in self.namespaces
                    and metadata.get("annotations")
                ):
                    wrong.append(f"namespace {metadata['name']} has annotations {metadata['annotations']}")
        return wrong

    def not_ready(self) -> list[str]:
        """Profiles whose status does not say what is the case."""
        wrong = []
        selected = sum(self.namespaces.values())
        for profile in self._profiles:
            body = self.client.get(f"{PROFILES}/{self.tag}-{profile}")
            status = body.get("status") or {}
            conflicts = len(self.foreign) if profile == "guard" else 0
            expected = {
                "observedGeneration": body["metadata"]["generation"],
                "selected": selected,
                "ready": selected - conflicts,
                "problems": conflicts,
            }
            counts = status.get("namespaces") or {}
            said = {
                "observedGeneration": status.get("observedGeneration"),
                "selected": counts.get("selected"),
                "ready": counts.get("ready"),
                "problems": status.get("problemsTotal"),
            }
            if said != expected:
                wrong.append(
                    f"status of {profile} says {said}, should say {expected}: {status.get('problems')}"
                )
        return wrong

    def clear(self) -> None:
        """Remove everything."""
        for profile in self._profiles:
            self._insist(lambda p=profile: self.client.delete(f"{PROFILES}/{self.tag}-{p}") or True)  # type: ignore[misc]
        self._insist(lambda: self.client.delete(f"{TEMPLATES}/{self.tag}-named") or True)
        for name in self.namespaces:
            self._insist(lambda n=name: self.client.delete(f"{NAMESPACES}/{n}") or True)  # type: ignore[misc]

    def remember(self) -> dict[str, Any]:
        """What is wanted at present, for `recall`."""
        wanted = (
            "namespaces",
            "releasing",
            "wishes",
            "_profiles",
            "_plans",
            "_past",
            "_extras",
            "_range",
            "_purpose",
        )
        return {name: deepcopy(getattr(self, name)) for name in wanted}

    def recall(self, remembered: dict[str, Any]) -> None:
        """The cluster was put back to a backup: what was wanted at that time is wanted again."""
        for name, value in deepcopy(remembered).items():
            setattr(self, name, value)

    # --- the way there ---

    def _name(self) -> str:
        self._serial += 1
        return f"{self.tag}-{self._serial}"

    def _managed(self, namespace: str) -> list[Object]:
        return self.client.items(policies_of(namespace), labelSelector="tenantprofile.dev/profile")

    def _now(self) -> int:
        """A revision that is not later than now."""
        return self._referee.version

    def _insist(self, act: Callable[[], Value]) -> Value:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem: Exception = error
            except Refused as error:
                # 401 and 403: the API server answers before its own caches are full.
                if error.status not in (401, 403, 409, 429) and error.status < 500:
                    raise
                problem = error
            if time.monotonic() > deadline:
                raise problem
            time.sleep(0.05)

    def _try(self, act: Callable[[], object]) -> None:
        """Once: it is no matter whether it goes through, because the judge looks at what was stored."""
        try:
            act()
        except (OSError, ValueError, Refused, http.client.HTTPException):
            pass


def _facts(namespace: str, tag: str) -> NamespaceFacts:
    return NamespaceFacts(namespace, {"chaos": tag, "kubernetes.io/metadata.name": namespace}, {})

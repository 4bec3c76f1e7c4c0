"""What must hold whatever the interleaving, decided from the server's history alone.

It shares no code with the operator: selection, names of policies and what two built-in templates give are written
down here once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from model.network import Network
from model.objects import Object
from model.server import Change, Key, ModelServer, Restored

PROFILE = "tenantprofile.dev/profile"
ADOPT = "tenantprofile.dev/adopt"
MARK = "tenantprofile.dev/complete"
RELEVANT = {"namespaces", "networkpolicies", "tenantprofiles"}
Place = tuple[str, str]
"""Namespace and name of a policy."""


def expected(entry: Mapping[str, Any]) -> Object | None:
    """The spec of an entry as the API server stores it; None where the template does not exist."""
    parameters = entry.get("parameters") or {}
    if entry["template"] == "default-deny":
        return {"podSelector": {}, "policyTypes": parameters.get("directions", ["Ingress", "Egress"])}
    if entry["template"] == "same-namespace":
        direction = parameters.get("direction", "Ingress")
        peers = "from" if direction == "Ingress" else "to"
        rule: Object = {peers: [{"podSelector": {}}]}
        if ports := parameters.get("ports"):
            rule["ports"] = [{"protocol": "TCP", "port": port} for port in ports]
        return {"podSelector": {}, "policyTypes": [direction], direction.lower(): [rule]}
    return None


def selects(profile: Object, namespace: Object) -> bool:
    """By matchLabels alone, which is what the tests use."""
    labels = namespace["metadata"].get("labels") or {}
    wanted = profile["spec"]["namespaceSelector"].get("matchLabels") or {}
    system = namespace["metadata"]["name"] in ("default", "kube-system", "tenantprofile-system")
    return not system and all(labels.get(key) == value for key, value in wanted.items())


def names_of(profile: Object) -> dict[str, Object | None]:
    """By object name: the spec that each entry asks for."""
    return {
        f"{profile['metadata']['name']}.{entry.get('name', entry['template'])}": expected(entry)
        for entry in profile["spec"]["policies"]
    }


def wanted(objects: Mapping[Key, Object]) -> dict[Place, Object]:
    """What the namespaces should hold: not of suspended profiles, nor of entries that cannot be rendered."""
    found: dict[Place, Object] = {}
    profiles = [body for key, body in objects.items() if key[0] == "tenantprofiles"]
    for key, namespace in objects.items():
        if key[0] != "namespaces" or namespace["metadata"].get("deletionTimestamp"):
            continue
        for profile in profiles:
            if selects(profile, namespace) and not profile["spec"].get("suspend"):
                for name, spec in names_of(profile).items():
                    if spec is not None:
                        found[key[2], name] = spec
    return found


def is_marked(body: Object | None) -> bool:
    """Whether a policy bears the mark that the pod gate waits for."""
    return body is not None and (body["metadata"].get("labels") or {}).get(MARK) == "true"


def baselines(objects: Mapping[Key, Object]) -> dict[str, dict[str, Object] | None]:
    """By namespace: what has to stand before its pods may start.

    None where it cannot be known to stand: an entry that cannot be rendered, a suspended profile. Namespaces that no
    profile with RequireBaseline selects are not in it.
    """
    found: dict[str, dict[str, Object] | None] = {}
    profiles = [body for key, body in objects.items() if key[0] == "tenantprofiles"]
    for key, namespace in objects.items():
        if key[0] != "namespaces":
            continue
        for profile in profiles:
            if profile["spec"].get("podAdmission") != "RequireBaseline" or not selects(profile, namespace):
                continue
            known = found.setdefault(key[2], {})
            specs = {name: spec for name, spec in names_of(profile).items() if spec is not None}
            if known is None or profile["spec"].get("suspend") or len(specs) < len(names_of(profile)):
                found[key[2]] = None
            else:
                known.update(specs)
    return found


class Marks:
    """The marks that operators write: only where each policy of some baseline of the namespace has stood."""

    def __init__(self) -> None:
        self._baselines: dict[str, list[dict[str, Object]]] = {}
        self._stood: dict[str, list[tuple[str, Object]]] = {}

    def learn(self, objects: Mapping[Key, Object]) -> None:
        """What is wanted and what stands at a moment, by the namespaces' uids."""
        uids = {key[2]: body["metadata"]["uid"] for key, body in objects.items() if key[0] == "namespaces"}
        for namespace, asked in baselines(objects).items():
            known = self._baselines.setdefault(uids[namespace], [])
            if asked and asked not in known:
                known.append(asked)
        for key, body in objects.items():
            if key[0] == "networkpolicies" and key[1] in uids:
                stood = self._stood.setdefault(uids[key[1]], [])
                if (key[2], body["spec"]) not in stood:
                    stood.append((key[2], body["spec"]))

    def complaint(self, change: Change, objects: Mapping[Key, Object]) -> Iterable[str]:
        """About one write of an operator's."""
        space = objects.get(("namespaces", "", change.key[1]))
        if change.key[0] != "networkpolicies" or not is_marked(change.after) or space is None:
            return
        uid = space["metadata"]["uid"]
        stood = self._stood.get(uid, [])
        if not any(all(one in stood for one in asked.items()) for asked in self._baselines.get(uid, [])):
            yield (
                f"revision {change.revision}: {change.key[1]}/{change.key[2]} was marked, and no baseline of the"
                " namespace has ever stood"
            )


class Judge:
    """Reads the history and complains; `networks`: the operators' by actor."""

    def __init__(self, server: ModelServer, networks: Mapping[str, Network]) -> None:
        self._server = server
        self._networks = networks

    def complaints(self) -> list[str]:
        """What was done wrong, in order."""
        found: list[str] = []
        objects: dict[Key, Object] = {}
        since: dict[Place, tuple[int, Object]] = {}
        fulfilled: set[Place] = set()
        ever: dict[str, list[Object]] = {}
        owned: set[tuple[str, str]] = set()
        last: dict[str, dict[str, str]] = {}
        marks = Marks()
        for change in self._server.history:
            if isinstance(change, Restored):
                objects = dict(change.objects)
                revision = -1
            else:
                if change.actor in self._networks:
                    found += self._judge(change, objects, since, fulfilled, ever, owned, last)
                    found += marks.complaint(change, objects)
                if change.after is None:
                    objects.pop(change.key, None)
                else:
                    objects[change.key] = change.after
                revision = change.revision
                latest = change.after or change.before
                if change.key[0] == "tenantprofiles" and latest is not None:
                    said = latest["spec"].get("deletionPolicy", "Delete")
                    last.setdefault(change.key[2], {})[latest["metadata"]["uid"]] = said
                    for name, asked in names_of(latest).items():
                        if asked is not None and asked not in ever.setdefault(name, []):
                            ever[name].append(asked)
            if isinstance(change, Restored) or change.key[0] in RELEVANT:
                marks.learn(objects)
            now = wanted(objects)
            for place in [place for place in since if place not in now]:
                del since[place]
                fulfilled.discard(place)
            for place, spec in now.items():
                if place not in since or since[place][1] != spec:
                    start = since[place][0] if place in since else revision
                    since[place] = (start, spec)
                    fulfilled.discard(place)
                body = objects.get(("networkpolicies", *place))
                if body is not None and body["spec"] == spec:
                    fulfilled.add(place)
        return found

    def _judge(
        self,
        change: Change,
        objects: Mapping[Key, Object],
        since: Mapping[Place, tuple[int, Object]],
        fulfilled: set[Place],
        ever: Mapping[str, list[Object]],
        owned: set[tuple[str, str]],
        last: Mapping[str, Mapping[str, str]],
    ) -> Iterable[str]:
        plural, namespace, name = change.key
        if plural == "tenantprofiles" and change.after is not None:
            yield from self._ready_too_early(change, objects, since, fulfilled)
        if plural != "networkpolicies":
            return
        place = (namespace, name)
        space = objects.get(("namespaces", "", namespace))
        owner = (space["metadata"]["uid"] if space else "", name)
        at = f"revision {change.revision}: {namespace}/{name}"
        before = change.before or {"metadata": {}}
        if change.before is not None and owner not in owned:
            adopt = (before["metadata"].get("annotations") or {}).get(ADOPT)
            if adopt is None:
                yield f"{at} is foreign and was touched"
        if change.after is not None:
            owned.add(owner)
            if change.after["spec"] not in ever.get(name, []):
                yield f"{at} was written in a form that no profile has asked for: {change.after['spec']}"
            return
        owned.discard(owner)
        profile = name.rpartition(".")[0]
        if place in since and since[place][0] <= self._looked(change, namespace, profile):
            yield f"{at} was deleted although profile {profile} wanted it since revision {since[place][0]}"
        # Of profiles that had this name one after the other, the history does not say whose policy it was.
        said = set(last.get(profile, {}).values())
        if ("tenantprofiles", "", profile) not in objects and said == {"Retain"}:
            yield f"{at} was deleted although profile {profile} said Retain last"

    def _looked(self, change: Change, namespace: str, profile: str) -> int:
        """The revision at which the operator read what its deletion rests on."""
        reads = self._networks[change.actor].reads
        looked = []
        for path in (
            f"/api/v1/namespaces/{namespace}",
            f"/apis/tenantprofile.dev/v1alpha1/tenantprofiles/{profile}",
        ):
            looked.append(max((at for at, p in reads if p == path and at <= change.sent), default=-1))
        return min(looked)

    def _ready_too_early(
        self,
        change: Change,
        objects: Mapping[Key, Object],
        since: Mapping[Place, tuple[int, Object]],
        fulfilled: set[Place],
    ) -> Iterable[str]:
        after = change.after
        assert after is not None
        status = after.get("status") or {}
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        if not ready or status.get("observedGeneration") != after["metadata"]["generation"]:
            return
        delivered = self._networks[change.actor].delivered
        known = max(
            (r for at, plural, r in delivered if plural == "namespaces" and at <= change.sent), default=0
        )
        for namespace, name in since:
            space = objects[("namespaces", "", namespace)]
            heard = int(space["metadata"]["resourceVersion"]) <= known
            mine = name in names_of(after) and selects(after, space)
            if mine and heard and (namespace, name) not in fulfilled:
                yield (
                    f"revision {change.revision}: {change.key[2]} says Ready for generation"
                    f" {after['metadata']['generation']}, and {namespace}/{name} never was as desired"
                )

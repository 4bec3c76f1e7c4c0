"""What an attempt finds: a tenant's namespace under a baseline, a neighbour's, and clients that are attackers."""

from __future__ import annotations

import http.client
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from actors import acting, allowed_to, grant, role
from client import NAMESPACES, PROFILES, TEMPLATES, Client, Object, Refused, eventually, policies_of
from controlplane import ControlPlane
from operatorprocess import OperatorProcess

GROUP = "tenantprofile.dev"
BASELINE = "baseline"
LIMITED = "limited"
EVERYTHING = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
GUARDRAILS: Object = {
    "refuse": [
        "Everybody",
        "AllNamespaces",
        "OpenNamespaceSelectors",
        "MetadataAddresses",
        "NAT64",
        "AllPorts",
        "Egress",
    ],
    "widestIPv4": 16,
    "widestIPv6": 48,
}

ACTORS = {
    "edit": "tenant with `edit`",
    "admin": "tenant with `admin`",
    "namespaces": "namespace writer",
    "template": "template author",
    "profile": "profile author for one profile",
    "delegate": "delegate with `override` for one profile",
}


def profile(name: str, selector: dict[str, str], *policies: Any, **spec: Any) -> Object:
    entries = [{"template": p} if isinstance(p, str) else p for p in policies]
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "TenantProfile",
        "metadata": {"name": name},
        "spec": {"namespaceSelector": {"matchLabels": selector}, "policies": entries, **spec},
    }


def set_up(admin: Client) -> None:
    """Roles and profiles that all attempts share."""
    for user, rules in {
        "namespaces": [
            {
                "apiGroups": [""],
                "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
                "verbs": EVERYTHING,
            }
        ],
        "template": [{"apiGroups": [GROUP], "resources": ["policytemplates"], "verbs": EVERYTHING}],
        "profile": [
            {
                "apiGroups": [GROUP],
                "resources": ["tenantprofiles"],
                "resourceNames": [LIMITED],
                "verbs": ["get", "update", "patch"],
            }
        ],
        "delegate": [
            {
                "apiGroups": [GROUP],
                "resources": ["tenantprofiles"],
                "resourceNames": [LIMITED],
                "verbs": ["override"],
            },
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": EVERYTHING},
        ],
    }.items():
        grant(admin, user, role(admin, f"attacks-{user}", rules))
    allowed_to(admin, "namespaces", "create", "namespaces")
    allowed_to(admin, "template", "create", "policytemplates", group=GROUP)
    allowed_to(admin, "profile", "patch", "tenantprofiles", group=GROUP, name=LIMITED)
    allowed_to(admin, "delegate", "override", "tenantprofiles", group=GROUP, name=LIMITED)
    restore_profiles(admin)


def restore_profiles(admin: Client) -> None:
    """The two profiles as they were; `limited` is the one whose author is trusted with nothing else."""
    policies = ("default-deny", "dns-egress", "same-namespace")
    for body in (
        profile(
            BASELINE, {"tenancy": "shared"}, *policies, guardrails=GUARDRAILS, podAdmission="RequireBaseline"
        ),
        profile(LIMITED, {"limited": "true"}, "default-deny"),
    ):
        # The CRD's storage is ready a moment after the CRD is established.
        eventually(lambda body=body: admin.apply(PROFILES, body, manager="platform-team"))  # type: ignore[misc]
        found = admin.get(f"{PROFILES}/{body['metadata']['name']}")
        if {k: found["spec"].get(k) for k in body["spec"]} != body["spec"] or found["metadata"].get(
            "finalizers"
        ):
            found["spec"], found["metadata"]["finalizers"] = body["spec"], []
            admin.request("PUT", f"{PROFILES}/{body['metadata']['name']}", found)


@dataclass
class Scene:
    """One attempt's world. `admin` sees and mends; `by` is the attacker."""

    cluster: ControlPlane
    admin: Client
    operator: OperatorProcess
    actor: str
    by: Client
    guarded: bool
    namespace: str = ""
    neighbour: str = "neighbour"
    desired: dict[str, Object] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    _serial = itertools.count(1)

    @property
    def path(self) -> str:
        return policies_of(self.namespace)

    @property
    def target(self) -> str:
        """The policy that matters most: the default deny."""
        return f"{self.path}/{BASELINE}.default-deny"

    def prepare(self) -> None:
        self.namespace = self.new_namespace({"tenancy": "shared"})
        # The mark of a complete baseline is written last.
        complete = f"{GROUP}/complete"
        eventually(lambda: self.admin.items(self.path, labelSelector=complete), within=30.0)
        self.desired = self.managed(self.namespace)
        assert len(self.desired) == 3
        if self.actor in ("edit", "admin"):
            grant(self.admin, self.actor, self.actor, self.namespace)
            eventually(lambda: self.by.items(self.path) is not None)

    def new_namespace(self, labels: dict[str, str]) -> str:
        name = f"a{next(self._serial)}"
        self.admin.create(NAMESPACES, {"metadata": {"name": name, "labels": labels | {"attacked": "true"}}})
        self.made.append(name)
        return name

    def managed(self, namespace: str) -> dict[str, Object]:
        """What the operator answers for in a namespace, by name: the part of each policy that is its own."""
        found = {}
        for item in self.admin.items(policies_of(namespace)):
            metadata = item["metadata"]
            if not metadata["name"].startswith((f"{BASELINE}.", f"{LIMITED}.")):
                continue
            ours = {
                k: v
                for k, v in (metadata.get("labels") or {}).items()
                if k.startswith(GROUP) or k == "app.kubernetes.io/managed-by"
            }
            found[metadata["name"]] = {
                "labels": ours,
                "spec": item["spec"],
                "going": "deletionTimestamp" in metadata,
            }
        return found

    def protected(self) -> bool:
        """Whether the namespace holds its baseline exactly as the operator wrote it."""
        return self.managed(self.namespace) == self.desired

    def baseline(self, namespace: str) -> list[str]:
        """The names of the baseline's policies that a namespace holds; another profile may select it, too."""
        return [name for name in self.managed(namespace) if name.startswith(f"{BASELINE}.")]

    def neighbour_is_served(self, within: float = 30.0) -> None:
        """A policy of another tenant that is lost comes back, and a new namespace gets its policies."""
        path = f"{policies_of(self.neighbour)}/{BASELINE}.default-deny"
        eventually(lambda: self.admin.find(path), within=within)
        uid = self.admin.get(path)["metadata"]["uid"]
        self.admin.delete(path)
        eventually(lambda: self.admin.get(path)["metadata"]["uid"] != uid, within=within)
        fresh = self.new_namespace({"tenancy": "shared"})
        eventually(lambda: len(self.baseline(fresh)) == 3, within=within)

    # --- what attackers use ---

    def policy(self, name: str, spec: Object, **metadata: Any) -> Object:
        return self.by.create(self.path, {"metadata": {"name": name, **metadata}, "spec": spec})

    def raw(self, method: str, path: str, text: str, content_type: str = "application/json") -> Object:
        """A body that no JSON library of this process would write."""
        connection = self.by._connect()
        try:
            connection.request(method, path, text, {**self.by._headers, "Content-Type": content_type})
            response = connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError) as error:
            raise Refused(0, str(error)) from error
        finally:
            connection.close()
        # What it answers may be as deep as what was sent.
        if response.status >= 400:
            raise Refused(response.status, content.decode(errors="replace")[:500])
        return {}

    def clean_up(self) -> None:
        """Take away what the attempt has left, so that the next one starts from the same world."""
        restart = not self.operator.alive or not self.operator.probe("livez")[0]
        if restart:
            self.operator.kill()
        for name in self.made:
            text = json.dumps({"metadata": {"finalizers": None}})
            connection = self.admin._connect()
            # Without reading the objects: an attempt may have made one that cannot be parsed.
            connection.request("DELETE", f"{NAMESPACES}/{name}", headers=self.admin._headers)
            connection.getresponse().read()
            for left in list(self.desired):
                headers = {**self.admin._headers, "Content-Type": "application/merge-patch+json"}
                connection.request("PATCH", f"{policies_of(name)}/{left}", text, headers)
                connection.getresponse().read()
            connection.close()
        if self.actor == "profile":
            connection = self.admin._connect()
            selector = {
                "namespaceSelector": {"matchLabels": {"limited": "true"}},
                "selectAllNamespaces": None,
            }
            text = json.dumps({"spec": {"parameters": None, **selector}})
            headers = {**self.admin._headers, "Content-Type": "application/merge-patch+json"}
            connection.request("PATCH", f"{PROFILES}/{LIMITED}", text, headers)
            connection.getresponse().read()
            connection.close()
        for item in self.admin.items(TEMPLATES):
            self.admin.delete(f"{TEMPLATES}/{item['metadata']['name']}")
        restore_profiles(self.admin)
        if restart:
            # The API server shows a poisoned object until its namespace is gone.
            for name in self.made:
                eventually(lambda name=name: self.admin.find(f"{NAMESPACES}/{name}") is None, within=60.0)  # type: ignore[misc]
            self.operator.start()


def scene(
    cluster: ControlPlane, admin: Client, operator: OperatorProcess, actor: str, guarded: bool
) -> Scene:
    return Scene(cluster, admin, operator, actor, acting(cluster, actor), guarded)

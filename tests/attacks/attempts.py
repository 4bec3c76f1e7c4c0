"""The attempts: who tries what, and what must come of it without the guard and with it.

`refused` by the API server; `harmless`: without effect, or put right within the suite's bound; `open`:
it works, and `closed_by` says what closes it. The table in docs/security.md is made of this list
(`attacks.table`, from what a run recorded), and the suite holds a real API server to every line of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from actors import grant
from attacks.scene import BASELINE, GROUP, LIMITED, Scene
from client import NAMESPACES, PROFILES, TEMPLATES, Object, Refused, eventually, policies_of

Outcome = Literal["refused", "harmless", "open"]
Act = Callable[[Scene], object]
Harm = Callable[[Scene], bool]

CLOSED: Object = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
GUARDRAILS = "the guard (`guardrails`), or RBAC: no NetworkPolicies in tenants' roles"
READ_ONLY = "the guard (`managed-objects`)"
OPEN: Object = {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}


@dataclass(frozen=True)
class Attempt:
    """One line of the table. `harm`: whether the attacker has what they wanted."""

    what: str
    actor: str
    act: Act
    without: Outcome
    guarded: Outcome
    harm: Harm = lambda scene: not scene.protected()
    closed_by: str = ""
    slow: bool = False
    """Left out of the bounded run: the operator restarts in it, or it is as long as ten others."""

    @property
    def name(self) -> str:
        return f"{self.actor}: {self.what}"


def both(*attempts: Attempt) -> list[Attempt]:
    """The same as `edit` and as `admin`."""
    return [replace(attempt, actor=actor) for attempt in attempts for actor in ("edit", "admin")]


# --- a managed policy ---


def patch(body: object, kind: str = "merge-patch+json", **query: str) -> Act:
    return lambda s: s.by.request("PATCH", s.target, body, content_type=f"application/{kind}", **query)


def put(change: Callable[[Object], Any]) -> Act:
    def act(s: Scene) -> object:
        body = s.admin.get(s.target)
        change(body)
        # The operator may have written in between.
        body["metadata"].pop("resourceVersion", None)
        return s.by.request("PUT", s.target, body)

    return act


def apply(manager: str) -> Act:
    return lambda s: s.by.apply(
        s.path,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"{BASELINE}.default-deny"},
            "spec": OPEN,
        },
        manager=manager,
    )


def stripped(body: Object) -> None:
    body["metadata"] = {"name": body["metadata"]["name"], "managedFields": [{}]}
    body["spec"] = OPEN


def recreate(s: Scene) -> None:
    s.by.request("DELETE", s.target)
    for _ in range(20):
        try:
            s.policy(f"{BASELINE}.default-deny", OPEN)
            return
        except Refused as error:
            if error.status != 409:
                raise
            s.by.request("DELETE", s.target)


def rewrite_often(s: Scene) -> None:
    for _ in range(60):
        patch({"spec": OPEN})(s)


def finalizer_then_delete(s: Scene) -> None:
    patch({"metadata": {"finalizers": ["example.com/keep"]}})(s)
    s.by.request("DELETE", s.target)
    patch({"spec": OPEN})(s)


def other_owner(body: Object) -> None:
    body["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "gone",
            "uid": "00000000-0000-0000-0000-000000000000",
        }
    ]


def with_digest(body: Object) -> None:
    body["spec"] = OPEN
    body["metadata"]["annotations"][f"{GROUP}/applied-digest"] = "forged"


JSON_OPEN = [
    {"op": "replace", "path": "/spec", "value": OPEN},
]
JSON_STRIP = [
    {"op": "remove", "path": "/metadata/labels"},
    {"op": "remove", "path": "/metadata/annotations"},
    {"op": "replace", "path": "/metadata/managedFields", "value": [{}]},
    {"op": "replace", "path": "/spec", "value": OPEN},
]


def managed(what: str, act: Act, **more: Any) -> Attempt:
    """Without the guard it is put right; with it, refused."""
    return Attempt(what, "", act, "harmless", "refused", **more)


ON_MANAGED = both(
    managed("delete the default deny", lambda s: s.by.request("DELETE", s.target)),
    managed("delete every policy at once (DELETECOLLECTION)", lambda s: s.by.request("DELETE", s.path)),
    managed("open it by a merge patch", patch({"spec": OPEN})),
    managed("open it by a strategic merge patch", patch({"spec": OPEN}, "strategic-merge-patch+json")),
    managed("open it by a JSON patch", patch(JSON_OPEN, "json-patch+json")),
    managed("open it by PUT", put(lambda body: body.update(spec=OPEN))),
    managed("open it by forced server-side apply", apply("tenant")),
    managed(
        "open it by server-side apply under the operator's field manager", apply("tenantprofile-operator")
    ),
    managed(
        "open it by a patch under the operator's field manager",
        patch({"spec": OPEN}, fieldManager="tenantprofile-operator"),
    ),
    managed("add a rule that allows everybody", patch({"spec": {"ingress": [{}]}})),
    managed(
        "point its podSelector at no pod", patch({"spec": {"podSelector": {"matchLabels": {"no": "pod"}}}})
    ),
    managed(
        "leave egress out of its policyTypes", patch({"spec": {"policyTypes": ["Ingress"], "egress": None}})
    ),
    managed("set its spec to null", patch({"spec": None})),
    managed("take its labels off", patch({"metadata": {"labels": None}})),
    managed(
        "take its labels off and open it",
        patch({"metadata": {"labels": None}, "spec": OPEN}),
    ),
    managed("strip labels, annotations, owner and managedFields, and open it", put(stripped)),
    managed("strip everything and open it by a JSON patch", patch(JSON_STRIP, "json-patch+json")),
    managed("delete it and create an open one of its name", recreate),
    managed(
        "hand it to another profile by its label",
        patch({"metadata": {"labels": {f"{GROUP}/profile": "other"}}, "spec": OPEN}),
    ),
    managed(
        "hand it to another manager by its label",
        patch({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}),
    ),
    managed("take its owner reference off", patch({"metadata": {"ownerReferences": None}})),
    managed("give it an owner that does not exist", put(other_owner)),
    managed("open it and forge the operator's digest", put(with_digest)),
    managed("set a finalizer on it", patch({"metadata": {"finalizers": ["example.com/keep"]}})),
    managed(
        "set a finalizer on it, delete it, and edit what stays",
        finalizer_then_delete,
        harm=lambda s: s.managed(s.namespace)[f"{BASELINE}.default-deny"]["spec"] == OPEN,
    ),
    managed("rewrite it sixty times in a row", rewrite_often),
    managed(
        "set the marker of a complete baseline on it",
        patch({"metadata": {"labels": {f"{GROUP}/complete": "x"}}}),
    ),
    managed("annotate it with 200 kB", patch({"metadata": {"annotations": {"note": "x" * 200_000}}})),
    managed("delete it, dry-run", lambda s: s.by.request("DELETE", s.target, dryRun="All")),
)


# --- beside it: policies add up ---


def peer(direction: str = "ingress", *, ports: object = None, **one: Any) -> Object:
    key = "from" if direction == "ingress" else "to"
    rule: Object = {key: [one], "ports": [{"port": 443}] if ports is None else ports}
    return {"podSelector": {}, direction: [rule], "policyTypes": [direction.capitalize()]}


def blocks(*cidrs: str) -> Object:
    rule = {"from": [{"ipBlock": {"cidr": c}} for c in cidrs], "ports": [{"port": 443}]}
    return {"podSelector": {}, "ingress": [rule], "policyTypes": ["Ingress"]}


def exists(name: str) -> Harm:
    return lambda s: s.admin.find(f"{s.path}/{name}") is not None


def beside(what: str, spec: Object, **metadata: Any) -> Attempt:
    return Attempt(
        what,
        "",
        lambda s: s.policy("mine", spec, **metadata),
        "open",
        "refused",
        harm=exists("mine"),
        closed_by=GUARDRAILS,
    )


def term(operator: str, *values: str) -> Object:
    one: Object = {"key": "team", "operator": operator}
    return {"namespaceSelector": {"matchExpressions": [one | ({"values": list(values)} if values else {})]}}


def all_named() -> Object:
    one = {"key": "kubernetes.io/metadata.name", "operator": "Exists"}
    return {"namespaceSelector": {"matchExpressions": [one]}}


BESIDE = both(
    beside("allow everything by a policy of one's own", OPEN),
    beside("allow ingress from everybody", {"podSelector": {}, "ingress": [{}]}),
    beside("allow every namespace", peer(namespaceSelector={})),
    beside("allow every namespace but one (NotIn)", peer(**term("NotIn", "x"))),
    beside("allow every namespace without a label (DoesNotExist)", peer(**term("DoesNotExist"))),
    beside("allow every namespace with some label (Exists)", peer(**term("Exists"))),
    beside("allow 0.0.0.0/0", blocks("0.0.0.0/0")),
    beside("allow all of IPv4 in halves", blocks("0.0.0.0/1", "128.0.0.0/1")),
    beside("allow all of IPv4 in 256 parts", blocks(*(f"{n}.0.0.0/8" for n in range(256)))),
    beside("allow ::/0", blocks("::/0")),
    beside("allow all of IPv6 in halves", blocks("::/1", "8000::/1")),
    beside("allow IPv4 through NAT64", blocks("64:ff9b::/96")),
    beside("allow a cloud metadata address", blocks("169.254.169.254/32")),
    beside("allow every port of a peer", peer(podSelector={}, ports=[])),
    beside("allow egress", peer("egress", podSelector={})),
    beside("allow everything by a policy of 2,500 rules", {"podSelector": {}, "ingress": [{}] * 2500}),
    replace(
        beside("allow everything under the operator's labels", OPEN, labels={f"{GROUP}/profile": BASELINE}),
        closed_by="the guard (`managed-objects`)",
    ),
    replace(
        beside(
            "allow everything under labels that are not the operator's alone",
            OPEN,
            labels={"app.kubernetes.io/managed-by": "tenantprofile-operator"},
        ),
        closed_by="the guard (`managed-objects`)",
    ),
)


# --- objects that are meant to break something ---


def deep(levels: int) -> str:
    return '{"a":' * levels + "{}" + "}" * levels


def poisoned(name: str, labels: str = "") -> Act:
    """A policy with managedFields nested deeper than JSON decoders follow (the API server keeps them)."""

    def act(s: Scene) -> object:
        fields = (
            '{"manager":"x","operation":"Update","apiVersion":"networking.k8s.io/v1",'
            f'"fieldsType":"FieldsV1","fieldsV1":{deep(1100)}}}'
        )
        metadata = f'"name":"{name}","managedFields":[{fields}]' + (f',"labels":{labels}' if labels else "")
        return s.raw("POST", s.path, f'{{"metadata":{{{metadata}}},"spec":{{"podSelector":{{}}}}}}')

    return act


def operator_is_down(s: Scene) -> bool:
    return not s.operator.alive or not s.operator.probe("livez")[0]


def squat(s: Scene) -> None:
    """Take the name of a policy that the profile is about to get."""
    s.policy(f"{BASELINE}.monitoring-scrape", OPEN)


def large(s: Scene) -> None:
    text = {"note": "x" * 250_000}
    labels = {f"{GROUP}/profile": BASELINE}
    s.policy("large", CLOSED, labels=labels, annotations=text)
    for n in range(60):
        s.by.merge(f"{s.path}/large", {"metadata": {"annotations": {"n": str(n)}}})


def block_profile(s: Scene) -> None:
    uid = s.admin.get(f"{PROFILES}/{BASELINE}")["metadata"]["uid"]
    owner = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "TenantProfile",
        "name": BASELINE,
        "uid": uid,
        "blockOwnerDeletion": True,
    }
    body = {"metadata": {"name": "anchor", "finalizers": ["example.com/x"], "ownerReferences": [owner]}}
    s.by.create(f"{NAMESPACES}/{s.namespace}/configmaps", body)
    s.by.merge(f"{NAMESPACES}/{s.namespace}/configmaps/anchor", {"metadata": {"finalizers": None}})


BREAKING = both(
    Attempt(
        "post a labelled policy nested too deep to decode",
        "",
        poisoned("deep", f'{{"{GROUP}/profile":"{BASELINE}"}}'),
        "harmless",
        "refused",
        harm=operator_is_down,
    ),
    Attempt(
        "post an unlabelled policy nested too deep to decode",
        "",
        poisoned("deep"),
        "harmless",
        "harmless",
        harm=operator_is_down,
    ),
    Attempt(
        "take the name of a policy to come, nested too deep to decode",
        "",
        poisoned(f"{BASELINE}.monitoring-scrape"),
        "harmless",
        "refused",
        harm=operator_is_down,
    ),
    Attempt(
        "take the name of a policy to come",
        "",
        squat,
        "open",
        "refused",
        harm=exists(f"{BASELINE}.monitoring-scrape"),
        closed_by="reported as a Conflict; the guard (`managed-objects`)",
    ),
    Attempt("rewrite a large labelled policy sixty times", "", large, "harmless", "refused"),
    Attempt(
        "forge the marker of a complete baseline",
        "",
        lambda s: s.policy("mine", CLOSED, labels={f"{GROUP}/complete": "true"}),
        "open",
        "refused",
        harm=exists("mine"),
        closed_by="the guard (`managed-objects`); without `pod-gate` the marker means nothing",
    ),
    Attempt(
        "claim a profile as owner of a ConfigMap, and block its deletion",
        "",
        block_profile,
        "open",
        "open",
        harm=lambda s: s.admin.find(f"{NAMESPACES}/{s.namespace}/configmaps/anchor") is not None,
        closed_by="the API server's admission plugin OwnerReferencesPermissionEnforcement; reported in status",
    ),
    Attempt(
        "run a pod on the host's network",
        "",
        lambda s: s.by.create(
            f"{NAMESPACES}/{s.namespace}/pods",
            {
                "metadata": {"name": "host"},
                "spec": {
                    "hostNetwork": True,
                    "containers": [{"name": "c", "image": "i"}],
                    "serviceAccountName": "default",
                    "automountServiceAccountToken": False,
                },
            },
        ),
        "open",
        "open",
        harm=lambda s: s.admin.find(f"{NAMESPACES}/{s.namespace}/pods/host") is not None,
        closed_by="Pod Security at `baseline` or `restricted`; `doctor` names namespaces that lack it",
    ),
)


# --- what RBAC refuses a tenant ---

VAPS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
SYSTEM = "tenantprofile-system"


def merge(path: str, body: object) -> Act:
    return lambda s: s.by.merge(path, body)


def refused_anyhow(what: str, act: Act) -> Attempt:
    return Attempt(what, "", act, "refused", "refused")


RBAC = both(
    refused_anyhow(
        "relabel the namespace",
        lambda s: s.by.merge(f"{NAMESPACES}/{s.namespace}", {"metadata": {"labels": None}}),
    ),
    refused_anyhow("change a profile", merge(f"{PROFILES}/{BASELINE}", {"spec": {"suspend": True}})),
    refused_anyhow("delete a profile", lambda s: s.by.request("DELETE", f"{PROFILES}/{BASELINE}")),
    refused_anyhow(
        "forge a profile's status", merge(f"{PROFILES}/{BASELINE}/status", {"status": {"conditions": []}})
    ),
    refused_anyhow(
        "create a template",
        lambda s: s.by.create(
            TEMPLATES,
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "PolicyTemplate",
                "metadata": {"name": "t"},
                "spec": {"description": "d", "template": "podSelector: {}"},
            },
        ),
    ),
    refused_anyhow("read another tenant's policies", lambda s: s.by.get(policies_of(s.neighbour))),
    refused_anyhow(
        "delete another tenant's default deny",
        lambda s: s.by.request("DELETE", f"{policies_of(s.neighbour)}/{BASELINE}.default-deny"),
    ),
    refused_anyhow(
        "take the operator's lease",
        merge(
            f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/tenantprofile-operator",
            {"spec": {"holderIdentity": "me"}},
        ),
    ),
    refused_anyhow(
        "ask for a token of the operator's account",
        lambda s: s.by.create(
            f"{NAMESPACES}/{SYSTEM}/serviceaccounts/tenantprofile-operator/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        ),
    ),
    refused_anyhow(
        "run a pod as the operator's account",
        lambda s: s.by.create(
            f"{NAMESPACES}/{SYSTEM}/pods",
            {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        ),
    ),
    refused_anyhow(
        "bind a role of the platform team to oneself",
        lambda s: s.by.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            {
                "metadata": {"name": "mine"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "tenantprofile-editor",
                },
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": s.actor}],
            },
        ),
    ),
    refused_anyhow("delete the guard's policies", lambda s: s.by.request("DELETE", VAPS)),
    refused_anyhow("delete the guard's bindings", lambda s: s.by.request("DELETE", BINDINGS)),
    refused_anyhow(
        "write a CiliumNetworkPolicy",
        lambda s: s.by.create(
            f"/apis/cilium.io/v2/namespaces/{s.namespace}/ciliumnetworkpolicies", {"metadata": {"name": "x"}}
        ),
    ),
    refused_anyhow(
        "set a quota that takes the place of the baseline",
        lambda s: s.by.create(
            f"{NAMESPACES}/{s.namespace}/resourcequotas",
            {
                "metadata": {"name": "q"},
                "spec": {"hard": {"count/networkpolicies.networking.k8s.io": "0"}},
            },
        ),
    ),
)


# --- namespace writers ---


def labels(body: object, sub: str = "", kind: str = "merge-patch+json") -> Act:
    return lambda s: s.by.request(
        "PATCH", f"{NAMESPACES}/{s.namespace}{sub}", body, content_type=f"application/{kind}"
    )


def put_namespace(sub: str = "") -> Act:
    def act(s: Scene) -> object:
        body = s.admin.get(f"{NAMESPACES}/{s.namespace}")
        body["metadata"]["labels"].pop("tenancy")
        return s.by.request("PUT", f"{NAMESPACES}/{s.namespace}{sub}", body)

    return act


def is_outside(s: Scene) -> bool:
    found = s.admin.get(f"{NAMESPACES}/{s.namespace}")["metadata"]["labels"]
    return found.get("tenancy") != "shared"


def leaving(what: str, act: Act) -> Attempt:
    return Attempt(
        what, "namespaces", act, "open", "refused", harm=is_outside, closed_by="the guard (`membership`)"
    )


def create_namespace(metadata: Callable[[Scene], Object]) -> Act:
    return lambda s: s.by.create(NAMESPACES, {"metadata": metadata(s)})


def entering(what: str, act: Act) -> Attempt:
    return Attempt(
        what,
        "namespaces",
        act,
        "open",
        "refused",
        harm=lambda s: True,
        closed_by="the guard (`membership`)",
    )


def enter_limited(s: Scene) -> object:
    return labels({"metadata": {"labels": {"limited": "true"}}})(s)


def namespace_poison(s: Scene) -> object:
    fields = (
        '[{"manager":"x","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1",'
        f'"fieldsV1":{deep(1100)}}}]'
    )
    text = f'[{{"op":"replace","path":"/metadata/managedFields","value":{fields}}}]'
    return s.raw("PATCH", f"{NAMESPACES}/{s.namespace}", text, "application/json-patch+json")


NAMESPACE_WRITERS = [
    leaving("take the selecting label off", labels({"metadata": {"labels": {"tenancy": None}}})),
    leaving("change the selecting label", labels({"metadata": {"labels": {"tenancy": "own"}}})),
    leaving("take all labels off by null", labels({"metadata": {"labels": None}})),
    leaving(
        "take the label off by a strategic merge patch",
        labels({"metadata": {"labels": {"tenancy": None}}}, kind="strategic-merge-patch+json"),
    ),
    leaving(
        "take the label off by a JSON patch",
        labels([{"op": "remove", "path": "/metadata/labels/tenancy"}], kind="json-patch+json"),
    ),
    leaving("take the label off by PUT", put_namespace()),
    leaving("take the label off through /status", put_namespace("/status")),
    leaving("take the label off through /finalize", put_namespace("/finalize")),
    leaving(
        "change the label by forced server-side apply",
        lambda s: s.by.apply(
            NAMESPACES,
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": s.namespace, "labels": {"tenancy": "own"}},
            },
        ),
    ),
    entering(
        "create a namespace inside a profile",
        create_namespace(lambda s: {"name": f"{s.namespace}-in", "labels": {"limited": "true"}}),
    ),
    entering(
        "create a namespace inside a profile by generateName",
        create_namespace(lambda s: {"generateName": "in-", "labels": {"limited": "true"}}),
    ),
    entering("add the label of another profile", enter_limited),
    Attempt(
        "lower the namespace's Pod Security level",
        "namespaces",
        labels({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        "open",
        "refused",
        harm=lambda s: True,
        closed_by="the guard (`membership`, guarded prefixes)",
    ),
    Attempt(
        "take the pod gate's label off",
        "namespaces",
        labels({"metadata": {"labels": {f"{GROUP}/pod-admission": "off"}}}),
        "open",
        "refused",
        harm=lambda s: True,
        closed_by="the guard (`membership`, guarded prefixes)",
    ),
    Attempt(
        "annotate the namespace with 200 kB",
        "namespaces",
        labels({"metadata": {"annotations": {"note": "x" * 200_000}}}),
        "harmless",
        "harmless",
    ),
    Attempt(
        "set a label with characters of YAML and Jinja in an annotation",
        "namespaces",
        labels({"metadata": {"annotations": {"x": "{{ 1 }}\n- ipBlock: {cidr: 0.0.0.0/0}"}}}),
        "harmless",
        "harmless",
    ),
    Attempt(
        "nest the namespace's managedFields too deep to decode",
        "namespaces",
        namespace_poison,
        "harmless",
        "harmless",
        harm=operator_is_down,
    ),
]


# --- template authors ---


def template(text: str, parameters: Object | None = None, name: str = "evil") -> Act:
    """A template that a profile uses, so that the operator renders it."""

    def act(s: Scene) -> None:
        spec: Object = {"description": "of an attempt", "template": text}
        if parameters is not None:
            spec["parameters"] = {"type": "object", "properties": parameters}
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "PolicyTemplate",
            "metadata": {"name": name},
            "spec": spec,
        }
        s.by.create(TEMPLATES, body)
        entries = [{"template": "default-deny"}, {"template": name, "name": "evil"}]
        s.admin.merge(f"{PROFILES}/{LIMITED}", {"spec": {"policies": entries}})
        s.admin.merge(f"{NAMESPACES}/{s.namespace}", {"metadata": {"labels": {"limited": "true"}}})
        eventually(lambda: s.admin.find(f"{s.path}/{LIMITED}.default-deny"))

    return act


def stalls(s: Scene) -> bool:
    return operator_is_down(s) or not baseline_holds(s)


def baseline_holds(s: Scene) -> bool:
    found = s.managed(s.namespace)
    return all(found.get(name) == policy for name, policy in s.desired.items())


def breaks(what: str, text: str, parameters: Object | None = None, name: str = "evil") -> Attempt:
    return Attempt(
        what,
        "template",
        template(text, parameters, name),
        "harmless",
        "harmless",
        harm=stalls,
    )


BODY = "podSelector: {}\n"
EVIL = "^(a+)+$"
LONG = "a" * 40 + "!"
TEMPLATE_AUTHORS = [
    breaks("loop over 10^9 numbers", "{% for i in range(1000000000) %}{% endfor %}" + BODY),
    breaks("nest loops", "{% for i in range(9999) %}" * 3 + "{% endfor %}" * 3 + BODY),
    breaks("print a string of 10^9 characters", BODY + "x: {{ 'a' * 1000000000 }}"),
    breaks("work out 10^10^8", BODY + "x: {{ 10 ** 10 ** 8 }}"),
    breaks("call a macro from itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}" + BODY),
    breaks("include a file", "{% include '/etc/passwd' %}" + BODY),
    breaks("import another template", "{% import 'default-deny' as d %}" + BODY),
    breaks("reach Python by an attribute", "x: {{ ''.__class__.__mro__ }}\n" + BODY),
    breaks("reach Python by a filter", "x: {{ params|attr('__class__') }}\n" + BODY),
    breaks("print 100,000 lines", BODY + "{% for i in range(9999) %}# xxxxxxxxxx\n{% endfor %}" * 11),
    breaks("nest YAML 500 deep", "podSelector: " + "{a: " * 500 + "{}" + "}" * 500),
    breaks("expand YAML aliases", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n" + BODY),
    breaks("render two documents", BODY + "---\n" + BODY),
    breaks("render another kind", "kind: ClusterRole\n" + BODY),
    breaks("render a policy that seems closed and is open", BODY + "ingress: [{from: []}]\n"),
    breaks("take the name of a built-in template", BODY, name="default-deny"),
    breaks(
        "an exponential pattern in a default",
        BODY,
        {"p": {"type": "string", "pattern": EVIL, "default": LONG}},
    ),
    breaks(
        "uniqueItems on 9,900 values",
        BODY,
        {"p": {"type": "array", "uniqueItems": True, "default": [{"a": n} for n in range(9900)]}},
    ),
    breaks(
        "a costly filter in a loop",
        "{% set n = range(9999) | list %}{% for i in range(9999) %}{{ '' if n | sort | length else '' }}{% endfor %}"
        + BODY,
    ),
    Attempt(
        "write a template that allows everything",
        "template",
        template("podSelector: {}\ningress:\n  - {}\n"),
        "harmless",
        "harmless",
        harm=lambda s: s.admin.find(f"{s.path}/{LIMITED}.evil") is not None,
    ),
]


# --- authors of one profile ---


def on_profile(body: object, name: str = LIMITED, kind: str = "merge-patch+json") -> Act:
    return lambda s: s.by.request("PATCH", f"{PROFILES}/{name}", body, content_type=f"application/{kind}")


def deep_parameters(s: Scene) -> object:
    return s.raw(
        "PATCH",
        f"{PROFILES}/{LIMITED}",
        f'{{"spec":{{"parameters":{{"x":{deep(2000)}}}}}}}',
        "application/merge-patch+json",
    )


def of_profile(what: str, act: Act, without: Outcome, guarded: Outcome | None = None, **more: Any) -> Attempt:
    return Attempt(what, "profile", act, without, guarded or without, **more)


def entry(template: str, **parameters: Any) -> Object:
    return {
        "spec": {"policies": [{"template": "default-deny"}, {"template": template, "parameters": parameters}]}
    }


PROFILE_AUTHORS = [
    of_profile("change another profile", on_profile({"spec": {"suspend": True}}, BASELINE), "refused"),
    of_profile(
        "delete the own profile", lambda s: s.by.request("DELETE", f"{PROFILES}/{LIMITED}"), "refused"
    ),
    of_profile(
        "create a second profile",
        lambda s: s.by.create(
            PROFILES,
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "TenantProfile",
                "metadata": {"name": "second"},
                "spec": {"selectAllNamespaces": True, "policies": [{"template": "default-deny"}]},
            },
        ),
        "refused",
    ),
    of_profile("forge the status", merge(f"{PROFILES}/{LIMITED}/status", {"status": None}), "refused"),
    of_profile("empty the selector", on_profile({"spec": {"namespaceSelector": None}}), "refused"),
    of_profile("remove all policies", on_profile({"spec": {"policies": []}}), "refused"),
    of_profile("name a template that does not exist", on_profile(entry("nothing")), "harmless"),
    of_profile(
        "break out of a parameter with YAML",
        on_profile(entry("cidr-egress", cidrs=["10.0.0.0/8\n- ipBlock: {cidr: 0.0.0.0/0}"])),
        "harmless",
    ),
    of_profile(
        "give parameters that no template takes", on_profile(entry("same-namespace", x="y")), "harmless"
    ),
    of_profile(
        "give 500 kB of parameters", on_profile({"spec": {"parameters": {"x": "y" * 500_000}}}), "harmless"
    ),
    of_profile(
        "nest parameters 2,000 deep",
        deep_parameters,
        "harmless",
        harm=operator_is_down,
        slow=True,
    ),
    of_profile(
        "hold the profile with a finalizer",
        on_profile({"metadata": {"finalizers": ["example.com/keep"]}}),
        "harmless",
    ),
    of_profile("claim the name of another profile's policies", on_profile(entry("default-deny")), "refused"),
    of_profile(
        "select every namespace of the cluster",
        on_profile({"spec": {"namespaceSelector": None, "selectAllNamespaces": True}}),
        "open",
        harm=lambda s: bool(eventually(lambda: s.admin.find(f"{s.path}/{LIMITED}.default-deny"))),
        closed_by="RBAC: by design a profile chooses its namespaces, so nobody but the platform team writes profiles",
    ),
]

# --- against the guard itself: other ways to say the same, and what it cannot see ---


def beside_after(change: Callable[[Scene], object]) -> Act:
    """A policy that allows nothing, and then the change."""

    def act(s: Scene) -> object:
        s.policy("mine", CLOSED)
        return change(s)

    return act


def own_is_open(s: Scene) -> bool:
    found = s.admin.find(f"{s.path}/mine")
    return found is not None and found["spec"].get("ingress") == [{}]


def own_is_marked(s: Scene) -> bool:
    found = s.admin.find(f"{s.path}/mine")
    return found is not None and f"{GROUP}/complete" in (found["metadata"].get("labels") or {})


def generated(prefix: str) -> Harm:
    return lambda s: any(
        p["metadata"]["name"].startswith(prefix) and p["spec"] == OPEN for p in s.admin.items(s.path)
    )


def generate(prefix: str, **metadata: Any) -> Act:
    return lambda s: s.by.create(s.path, {"metadata": {"generateName": prefix, **metadata}, "spec": OPEN})


def before_membership(name: str) -> Act:
    """A policy made while no profile selects its namespace, which then becomes a tenant's."""

    def act(s: Scene) -> None:
        s.namespace = s.new_namespace({})
        if s.actor in ("edit", "admin"):
            grant(s.admin, s.actor, s.actor, s.namespace)
            eventually(lambda: s.by.items(s.path) is not None)
        s.policy(name, OPEN)
        s.admin.merge(f"{NAMESPACES}/{s.namespace}", {"metadata": {"labels": {"tenancy": "shared"}}})
        eventually(lambda: len(s.admin.items(s.path)) >= 3)

    return act


def older_is_there(name: str) -> Harm:
    def harm(s: Scene) -> bool:
        found = s.admin.find(f"{s.path}/{name}")
        return found is not None and found["spec"] == OPEN

    return harm


def sum_of_policies(s: Scene) -> None:
    """Each allows a part that is small enough; together they allow 64 times as much."""
    for part in range(64):
        s.policy(f"part-{part}", blocks(f"20.{part}.0.0/16"))


def debug_container(s: Scene) -> object:
    pod: Object = {"metadata": {"name": "pod"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    s.admin.create(f"{NAMESPACES}/{s.namespace}/pods", pod)
    debugger = {"name": "d", "image": "i", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
    return s.by.request(
        "PATCH",
        f"{NAMESPACES}/{s.namespace}/pods/pod/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [debugger]}},
        content_type="application/strategic-merge-patch+json",
    )


def has_debug_container(s: Scene) -> bool:
    pod = s.admin.find(f"{NAMESPACES}/{s.namespace}/pods/pod")
    return pod is not None and bool(pod["spec"].get("ephemeralContainers"))


AGAINST_THE_GUARD = both(
    managed(
        "replace its spec by a strategic merge directive",
        patch({"spec": {"$patch": "replace", **OPEN}}, "strategic-merge-patch+json"),
    ),
    managed(
        "delete its labels by a strategic merge directive",
        patch({"metadata": {"labels": {"$patch": "delete"}}}, "strategic-merge-patch+json"),
    ),
    managed(
        "null labels, annotations and finalizers at once",
        patch({"metadata": {"labels": None, "annotations": None, "finalizers": None}}),
    ),
    managed(
        "delete by DELETECOLLECTION and the operator's label",
        lambda s: s.by.request("DELETE", s.path, labelSelector=f"{GROUP}/profile={BASELINE}"),
    ),
    managed(
        "delete by DELETECOLLECTION and a field selector",
        lambda s: s.by.request("DELETE", s.path, fieldSelector=f"metadata.name={BASELINE}.default-deny"),
    ),
    managed(
        "delete it with dependents orphaned",
        lambda s: s.by.request("DELETE", s.target, propagationPolicy="Orphan"),
    ),
    managed("open it, dry-run", patch({"spec": OPEN}, dryRun="All")),
    refused_anyhow(
        "open it through a /status subresource",
        lambda s: s.by.request(
            "PATCH", f"{s.target}/status", {"spec": OPEN}, content_type="application/merge-patch+json"
        ),
    ),
    Attempt(
        "allow everything by generateName under a profile's prefix",
        "",
        generate(f"{BASELINE}."),
        "refused",
        "refused",
        harm=generated(f"{BASELINE}."),
    ),
    Attempt(
        "allow everything by generateName",
        "",
        generate("mine-"),
        "open",
        "refused",
        harm=generated("mine-"),
        closed_by=GUARDRAILS,
    ),
    Attempt(
        "allow everything, dry-run",
        "",
        lambda s: s.by.create(f"{s.path}?dryRun=All", {"metadata": {"name": "mine"}, "spec": OPEN}),
        "harmless",
        "refused",
        harm=exists("mine"),
    ),
    Attempt(
        "open a policy of one's own that allowed nothing, by a patch",
        "",
        beside_after(lambda s: s.by.merge(f"{s.path}/mine", {"spec": OPEN})),
        "open",
        "refused",
        harm=own_is_open,
        closed_by=GUARDRAILS,
    ),
    Attempt(
        "mark a policy of one's own as a complete baseline, by a patch",
        "",
        beside_after(
            lambda s: s.by.merge(f"{s.path}/mine", {"metadata": {"labels": {f"{GROUP}/complete": "true"}}})
        ),
        "open",
        "refused",
        harm=own_is_marked,
        closed_by="the guard (`managed-objects`); without `pod-gate` the marker means nothing",
    ),
    beside("allow egress to everywhere by a policy for egress alone", {**OPEN, "policyTypes": ["Egress"]}),
    beside("allow every port by a range", peer(podSelector={}, ports=[{"port": 1, "endPort": 65535}])),
    beside("allow every port by protocols alone", peer(podSelector={}, ports=[{"protocol": "TCP"}])),
    beside("allow every namespace by the label that all have (Exists)", peer(**all_named())),
    beside("allow 10,000 address ranges", blocks(*(f"10.{n // 256}.{n % 256}.0/24" for n in range(10_000)))),
    beside("allow 128 address ranges that make up the widest", blocks(*(f"{n}.0.0.0/9" for n in range(128)))),
    Attempt(
        "allow 64 times the widest range by a sum of policies",
        "",
        sum_of_policies,
        "open",
        "open",
        harm=exists("part-63"),
        closed_by="RBAC, or a quota on NetworkPolicies: the guard judges one policy at a time",
    ),
    Attempt(
        "allow everything before a profile selects the namespace",
        "",
        before_membership("mine"),
        "open",
        "open",
        harm=older_is_there("mine"),
        closed_by="label namespaces when they are created; `tenantprofile audit` names what was there before",
    ),
    Attempt(
        "take the default deny's name before a profile selects the namespace",
        "",
        before_membership(f"{BASELINE}.default-deny"),
        "open",
        "open",
        harm=older_is_there(f"{BASELINE}.default-deny"),
        closed_by="reported as a Conflict, and taken back with `conflicts: Replace`; the guard judges no older objects",
    ),
    Attempt(
        "add a debug container with NET_ADMIN to a pod",
        "",
        debug_container,
        "refused",
        "refused",
        harm=has_debug_container,
    ),
    refused_anyhow(
        "give oneself the right to override by a Role",
        lambda s: s.by.create(
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{s.namespace}/roles",
            {
                "metadata": {"name": "mine"},
                "rules": [{"apiGroups": [GROUP], "resources": ["tenantprofiles"], "verbs": ["override"]}],
            },
        ),
    ),
)


# --- delegates: the right to override one profile, and NetworkPolicies in every namespace ---


def by_delegate(what: str, act: Act, without: Outcome, guarded: Outcome, **more: Any) -> Attempt:
    return Attempt(what, "delegate", act, without, guarded, **more)


def in_limited(act: Act) -> Act:
    """In a namespace that the delegate's profile selects as well."""

    def both_profiles(s: Scene) -> object:
        s.admin.merge(f"{NAMESPACES}/{s.namespace}", {"metadata": {"labels": {"limited": "true"}}})
        eventually(lambda: s.admin.find(f"{s.path}/{LIMITED}.default-deny"))
        s.desired = s.managed(s.namespace)
        return act(s)

    return both_profiles


def patch_limited(body: object) -> Act:
    return in_limited(lambda s: s.by.merge(f"{s.path}/{LIMITED}.default-deny", body))


DELEGATES = [
    by_delegate(what, act, "harmless", "refused")
    for what, act in {
        "delete another profile's policy": lambda s: s.by.request("DELETE", s.target),
        "delete every policy of a namespace": lambda s: s.by.request("DELETE", s.path),
        "open another profile's policy": patch({"spec": OPEN}),
        "open another profile's policy by a strategic merge patch": patch(
            {"spec": OPEN}, "strategic-merge-patch+json"
        ),
        "open another profile's policy by forced server-side apply": apply("delegate"),
        "move another profile's policy into the own one, and open it": patch(
            {"metadata": {"labels": {f"{GROUP}/profile": LIMITED}}, "spec": OPEN}
        ),
        "move a policy of the own profile into another": patch_limited(
            {"metadata": {"labels": {f"{GROUP}/profile": BASELINE}}}
        ),
        "null the labels of another profile's policy": patch({"metadata": {"labels": None}}),
        "set a finalizer on another profile's policy": patch(
            {"metadata": {"finalizers": ["example.com/keep"]}}
        ),
        "open another profile's policy, dry-run": patch({"spec": OPEN}, dryRun="All"),
    }.items()
] + [
    # The namespace is another profile's as well, whose guardrails hold for the delegate.
    by_delegate("open a policy of the own profile", patch_limited({"spec": OPEN}), "harmless", "refused"),
    by_delegate(
        "delete a policy of the own profile",
        in_limited(lambda s: s.by.request("DELETE", f"{s.path}/{LIMITED}.default-deny")),
        "harmless",
        "harmless",
    ),
    by_delegate(
        "take the name of another profile's policy to come",
        squat,
        "open",
        "refused",
        harm=exists(f"{BASELINE}.monitoring-scrape"),
        closed_by="reported as a Conflict; the guard (`managed-objects`)",
    ),
    by_delegate(
        "allow everything under another profile's label",
        lambda s: s.policy("mine", OPEN, labels={f"{GROUP}/profile": BASELINE}),
        "open",
        "refused",
        harm=exists("mine"),
        closed_by=READ_ONLY,
    ),
    by_delegate(
        "forge the marker of a complete baseline of another profile",
        lambda s: s.policy(
            "mine", CLOSED, labels={f"{GROUP}/complete": "true", f"{GROUP}/profile": BASELINE}
        ),
        "open",
        "refused",
        harm=exists("mine"),
        closed_by=READ_ONLY,
    ),
]

MORE_PROFILE_AUTHORS = [
    of_profile(
        "give 280,000 values of parameters",
        on_profile({"spec": {"parameters": {f"k{n}": [1] * 7_000 for n in range(40)}}}),
        "harmless",
        harm=operator_is_down,
    ),
    of_profile(
        "assert something of 4,096 kinds of pods",
        on_profile(
            {
                "spec": {
                    "policies": [
                        {
                            "template": "default-deny",
                            "parameters": {"podSelector": {"matchLabels": {f"k{n}": "v" for n in range(12)}}},
                        }
                    ],
                    "assertions": [
                        {
                            "name": "nothing",
                            "from": {"anything": True},
                            "to": {"anything": True},
                            "expect": "deny",
                            "ports": [443],
                        }
                    ],
                }
            }
        ),
        "harmless",
        harm=lambda s: operator_is_down(s) or not s.protected(),
    ),
]
MORE_TEMPLATE_AUTHORS = [
    breaks(
        "a schema of 19,000 values that all must differ",
        BODY,
        {"p": {"type": "array", "uniqueItems": True, "default": [[n] for n in range(9_500)]}},
    ),
    breaks(
        "a schema of 400 schemas, each checking the same default",
        BODY,
        {
            "p": {
                "type": "array",
                "items": {"anyOf": [{"type": "string", "pattern": f"^{n}(a|b)*$"} for n in range(400)]},
                "default": ["x" * 50] * 400,
            }
        },
    ),
    replace(
        breaks("a body of 400 kB", "{% if true %}{% endif %}" * 16_000 + BODY),
        without="refused",
        guarded="refused",
    ),
]

MORE_NAMESPACE_WRITERS = [
    leaving(
        "move the selecting label by a JSON patch",
        labels(
            [{"op": "move", "from": "/metadata/labels/tenancy", "path": "/metadata/labels/was"}],
            kind="json-patch+json",
        ),
    ),
    leaving(
        "replace all labels by a JSON patch",
        labels([{"op": "replace", "path": "/metadata/labels", "value": {}}], kind="json-patch+json"),
    ),
    leaving(
        "replace all labels by a strategic merge directive",
        labels(
            {"metadata": {"labels": {"$patch": "replace", "own": "label"}}}, kind="strategic-merge-patch+json"
        ),
    ),
    Attempt(
        "take the selecting label off, dry-run",
        "namespaces",
        lambda s: s.by.request(
            "PATCH",
            f"{NAMESPACES}/{s.namespace}",
            {"metadata": {"labels": {"tenancy": None}}},
            content_type="application/merge-patch+json",
            dryRun="All",
        ),
        "harmless",
        "refused",
        harm=is_outside,
    ),
]


ATTEMPTS: list[Attempt] = [
    *ON_MANAGED,
    *BESIDE,
    *BREAKING,
    *RBAC,
    *NAMESPACE_WRITERS,
    *TEMPLATE_AUTHORS,
    *PROFILE_AUTHORS,
    *AGAINST_THE_GUARD,
    *DELEGATES,
    *MORE_NAMESPACE_WRITERS,
    *MORE_PROFILE_AUTHORS,
    *MORE_TEMPLATE_AUTHORS,
]


def names(attempts: Iterable[Attempt]) -> list[str]:
    return [attempt.name for attempt in attempts]

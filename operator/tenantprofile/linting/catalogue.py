"""Every rule that lint knows, by its id: those of `policy`, of `rendering`, and lint's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, get_args

from tenantprofile.names import ANNOTATION_OWNER, ANNOTATION_PURPOSE
from tenantprofile.policy import rules as policy_rules
from tenantprofile.policy.findings import Group, Rule, Severity, nearest
from tenantprofile.rendering.parameters import PARAMETER

ANNOTATION_WAIVE: Final = "tenantprofile.dev/lint-waive"


_OWN: Final[list[Rule]] = []
"""Lint's own rules, in the order in which they are written here: making one with `_rule` puts it on the list."""


def _rule(
    id_: str, group: Group, severity: Severity, title: str, why: str, fix: str, on: bool = True
) -> Rule:
    rule = Rule(id_, group, severity, title, why, fix, refused_in_templates=False, on=on)
    _OWN.append(rule)
    return rule


# --- objects ---

REMOVED_API = _rule(
    "removed-api",
    "api",
    "error",
    "An API version that is gone",
    "The API server no longer serves it, so the object is refused.",
    "NetworkPolicies are networking.k8s.io/v1, profiles and templates tenantprofile.dev/v1alpha1.",
)
OBJECT_NAME = _rule(
    "object-name",
    "api",
    "error",
    "A name that no object can have",
    "The API server refuses it.",
    "Use a DNS name: at most 253 lower case letters, digits, '-' and '.', a letter or digit at both ends.",
)
UNKNOWN_KIND = _rule(
    "unknown-kind",
    "api",
    "error",
    "A kind that its API group does not have",
    "The API server refuses it, so it protects nothing.",
    "Correct the kind; kinds are written as in NetworkPolicy, with capitals.",
)
INVALID_OBJECT = _rule(
    "invalid-object",
    "api",
    "error",
    "An object without metadata, or a Namespace, Service, pod or workload that the API server would refuse",
    "It is left out of what is judged, so other rules may miss something.",
    "Correct the field.",
)
DUPLICATE_OBJECT = _rule(
    "duplicate-object",
    "api",
    "error",
    "One object twice, with different content",
    "Whichever is applied last counts; the first one is judged here.",
    "Keep one of them, or give the other another name.",
)
SCHEMA = _rule(
    "schema",
    "api",
    "error",
    "A field that its CustomResourceDefinition refuses",
    "The API server refuses the object.",
    "Write what the reference page of the kind says.",
)

# --- profiles and templates ---

PROFILE = _rule(
    "profile",
    "profiles",
    "error",
    "A TenantProfile that cannot be used",
    "The operator takes no step for it; what it applied before stays as it is.",
    "Correct the field; docs/reference/tenantprofile.md lists them all.",
)
SELECTS_NO_NAMESPACE = _rule(
    "selects-no-namespace",
    "profiles",
    "info",
    "A profile that selects none of the namespaces given",
    "It protects nothing here. Usually a label is misspelt. Judged only when Namespaces are in the input.",
    "Correct the selector, or label the namespaces.",
)
TEMPLATE_NOT_FOUND = _rule(
    "template-not-found",
    "profiles",
    "error",
    "An entry whose template does not exist",
    "The entry yields no policy.",
    "`tenantprofile templates` lists the built-in ones; give PolicyTemplates in the input.",
)
UNUSED_PARAMETER = _rule(
    "unused-parameter",
    "profiles",
    "warning",
    "A parameter of the whole profile that none of its templates has",
    "It has no effect. Usually the name is misspelt, and a default counts instead.",
    "Correct the name, or remove it.",
)
RENDER_FAILED = _rule(
    "render-failed",
    "profiles",
    "error",
    "A template that renders no policy",
    "The entry yields nothing; what it yielded before stays where it is.",
    "Correct the template, at the line that is named.",
)
NOT_JUDGED = _rule(
    "not-judged",
    "profiles",
    "info",
    "An entry that depends on a namespace, and no namespace that the profile selects is given",
    "What it renders there cannot be judged.",
    "Give the Namespaces in the input as well.",
)
TEMPLATE = _rule(
    "template",
    "profiles",
    "error",
    "A PolicyTemplate that cannot be used",
    "No entry that names it yields a policy.",
    "Correct the template, or the schema of its parameters, at the line that is named.",
)
TEMPLATE_NAME_TAKEN = _rule(
    "template-name-taken",
    "profiles",
    "error",
    "A PolicyTemplate with the name of a built-in template",
    "Profiles that use this name get the built-in template.",
    "Choose another name.",
)
MISSING_PURPOSE = _rule(
    "missing-purpose",
    "records",
    "warning",
    "An allowance without a purpose",
    "Nobody can tell later whether it is still needed; audits ask for it.",
    f"Give the entry (or its template) a `purpose`; a policy the annotation {ANNOTATION_PURPOSE}.",
)
MISSING_OWNER = _rule(
    "missing-owner",
    "records",
    "info",
    "An allowance without an owner",
    "Nobody can be asked whether it is still needed; audits ask for it.",
    f"Give the entry an `owner`; a policy the annotation {ANNOTATION_OWNER}.",
)

# --- several policies ---

CONTAINED_RULE = _rule(
    "contained-rule",
    "together",
    "info",
    "A rule or peer that another one contains",
    "It allows nothing that is not allowed already. Whoever tightens it later tightens nothing.",
    "Remove it, or narrow the other one.",
)
EGRESS_WITHOUT_DNS = _rule(
    "egress-without-dns",
    "together",
    "warning",
    "Egress is denied, and DNS with it",
    "Pods resolve no names, and everything that needs one fails by time-out.",
    "Allow UDP and TCP port 53 to the cluster's DNS pods, as the template dns-egress does.",
)
WIDENS_BASELINE = _rule(
    "widens-baseline",
    "together",
    "warning",
    "A tenant's own policy that opens what the baseline closes, beyond the namespace",
    "Policies add up: it lets other namespaces or addresses through where the profile does not.",
    "Put the allowance into the profile, with a purpose and an owner, or remove it.",
)
WIDENS_WITHIN = _rule(
    "widens-within",
    "together",
    "info",
    "A tenant's own policy that opens what the baseline closes, within the namespace",
    "Pods of the namespace reach each other where the profile does not let them.",
    "None is needed where tenants may decide this for themselves.",
)

# --- pods and services ---

SELECTS_NOTHING = _rule(
    "selects-nothing",
    "cluster",
    "warning",
    "A policy that selects no pod",
    "It protects nothing. Judged only when pods of its namespace are in the input.",
    "Correct the labels, or remove the policy.",
)
PEER_SELECTS_NOTHING = _rule(
    "peer-selects-nothing",
    "cluster",
    "warning",
    "A peer that no pod matches",
    "What was meant to be allowed is not. Judged only when pods of the peer's namespaces are in the input.",
    "Correct the labels, or remove the peer.",
)
PEER_HOST_NETWORK = _rule(
    "peer-host-network",
    "cluster",
    "warning",
    "A peer that matches pods on the host network only",
    "Their connections come from their nodes' addresses, and most engines match no selector against those.",
    "Let the nodes' addresses in with an ipBlock, or take the pods off the host network.",
)
NEEDED_FLOW_CUT = _rule(
    "needed-flow-cut",
    "cluster",
    "warning",
    "A flow that another object needs, and no policy lets through",
    "A webhook that the API server cannot reach blocks every write that it judges; a backend that its"
    " controller cannot reach answers with errors.",
    "`tenantprofile needs --entries` prints entries that let it through.",
)
NAMED_PORT_NOWHERE = _rule(
    "named-port-nowhere",
    "cluster",
    "warning",
    "A port name that no pod has",
    "The API allows nothing by it; some engines (kube-router 2.10 and 2.11) open every port instead.",
    "Use the number of the container's port, or the name that the pods declare for this protocol.",
)
SEVERAL_NAMED_PORTS = _rule(
    "several-named-ports",
    "cluster",
    "info",
    "A port by name, for pods with several named ports",
    "Some engines (kube-router 2.10 and 2.11) open other ports of such pods, and not always the same.",
    "Use the number of the container's port.",
)
HOST_NETWORK = _rule(
    "host-network",
    "cluster",
    "info",
    "A policy that selects pods on the host network",
    "The API leaves open what that means; most engines apply no policy to them.",
    "Protect them on the node, or take them off the host network.",
)
SERVICE_PORT = _rule(
    "service-port",
    "cluster",
    "warning",
    "The port or node port of a Service instead of the pods' port",
    "Policies see the pods' port, to which the Service leads; the Service's own port matches nothing.",
    "Write the target port.",
)
CLUSTER_IP = _rule(
    "cluster-ip",
    "cluster",
    "warning",
    "The address of a Service in an ipBlock, or a range of such addresses",
    "The destination is rewritten to a pod's or endpoint's address before most engines look at it.",
    "Select the pods behind the Service; for the API server use its endpoints' addresses.",
)
IP_BLOCK_PODS = _rule(
    "ip-block-pods",
    "cluster",
    "info",
    "A range that contains pods",
    "Some engines match pods by ipBlock, others (Cilium) never do; pods' addresses change as well.",
    "Use selectors for what is inside of the cluster.",
)
ONE_FAMILY = _rule(
    "one-family",
    "cluster",
    "info",
    "The internet in one address family, for pods that have both",
    "The other family is denied, which shows as slow or failing connections; an engine that knows IPv4 "
    "only leaves IPv6 open.",
    "Add the range of the other family.",
)

# --- waivers ---

WAIVER_INVALID = _rule(
    "waiver-invalid",
    "waivers",
    "error",
    "A waiver without rule, reason or date",
    "It waives nothing. A waiver that says neither why nor until when is never looked at again.",
    f'Write `{ANNOTATION_WAIVE}: "<rule>: <reason>, until 2027-01-31"`, or the comment'
    " `# tenantprofile-lint: waive <rule> until 2027-01-31: <reason>`.",
)
WAIVER_EXPIRED = _rule(
    "waiver-expired",
    "waivers",
    "warning",
    "A waiver whose time is over",
    "The finding that it waived counts again.",
    "Fix the finding, or decide again and give a later date.",
)
WAIVER_UNUSED = _rule(
    "waiver-unused",
    "waivers",
    "info",
    "A waiver with nothing to waive",
    "It would hide the finding should it ever come back.",
    "Remove it.",
)

GROUPS: Final[Mapping[Group, str]] = {
    "api": "What the API server refuses",
    "meaning": "What means something else than it seems to",
    "portability": "What some network plugins get wrong",
    "together": "Policies beside each other",
    "cluster": "Policies over the pods and Services that are there",
    "profiles": "TenantProfiles and PolicyTemplates",
    "parameters": "Parameters of templates",
    "records": "Purpose and owner",
    "waivers": "Waivers",
}
"""Each group of rules with its title, in the order in which they are listed."""

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.id: rule
        for group in GROUPS
        for rule in (*policy_rules.RULES.values(), PARAMETER, *_OWN)
        if rule.group == group
    }
)
"""Every rule by its id, group by group."""

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
"""From the worst on."""

assert set(GROUPS) == set(get_args(Group))  # noqa: S101 -- a group without a title would lose its rules


class UnknownRuleError(ValueError):
    """Somebody named a rule or a group that does not exist."""


def choose(
    select: Iterable[str] = (), enable: Iterable[str] = (), disable: Iterable[str] = ()
) -> frozenset[str]:
    """The ids of the rules to be judged, by ids and names of groups. Raises UnknownRuleError.

    Without `select` these are the rules that are on by default; `disable` has the last word.
    """
    chosen = _ids(select) or {rule.id for rule in RULES.values() if rule.on}
    return frozenset((chosen | _ids(enable)) - _ids(disable))


def _ids(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name in RULES:
            found.add(name)
        elif name in GROUPS:
            found |= {rule.id for rule in RULES.values() if rule.group == name}
        else:
            raise UnknownRuleError(f"no rule or group {name!r}{nearest(name, (*RULES, *GROUPS))}")
    return found

"""What people really have: folders as they are in Git, objects of other kinds, and objects that are wrong."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tenantprofile.cli import kustomize
from tenantprofile.cli.main import main

DENY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: app}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: app, labels: {app: db}}
spec: {containers: [{name: c, image: x}]}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}
"""
SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  replicas: 2
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: x}]}}
"""
CLIENT = POD.replace("name: db", "name: web").replace("app: db", "app: web")


def text(*documents: str) -> str:
    return "\n---\n".join(document.strip("\n") for document in documents) + "\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert "this is a bug" not in result.stderr, result.stderr
    return result


# --- kinds that are not read ---

OWN = DENY.replace("name: deny", "name: own")
OTHERS = (
    DENY.replace("networking.k8s.io/v1", "extensions/v1beta1"),
    DENY.replace("networking.k8s.io/v1", "networking.k8s.io/v1beta1"),
    DENY.replace("kind: NetworkPolicy", "kind: networkpolicy"),
    "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: a, namespace: app}, spec: {}}",
    "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: a, namespace: app}, spec: {}}",
    "{apiVersion: crd.projectcalico.org/v1, kind: GlobalNetworkPolicy, metadata: {name: a}, spec: {}}",
    "{apiVersion: crd.antrea.io/v1beta1, kind: ClusterNetworkPolicy, metadata: {name: a}, spec: {}}",
    "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: a}}",
    "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, metadata: {name: default}}",
    "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: a}}",
)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    "command",
    [
        ["audit"],
        ["connections"],
        ["explain", "192.0.2.1", "app/db"],
        ["lint"],
        ["graph"],
        ["diff", "pod.yaml"],
    ],
    ids=lambda command: command[0],
)
def test_a_policy_that_is_not_read_is_named_beside_every_answer(
    here: Path, command: list[str], other: str
) -> None:
    (here / "pod.yaml").write_text(text(POD))
    (here / "in.yaml").write_text(text(POD, OWN, other, other.replace("name: deny", "name: b")))
    result = run(*command, "in.yaml")
    assert result.exit_code != 2
    assert result.stderr.count("policies that are not read: 2 ") == 1
    strict = run(*command, "--strict", "in.yaml")
    assert strict.exit_code == 2
    assert "policies that are not read: 2 " in strict.stderr


def test_a_policy_that_is_not_read_covers_nothing(here: Path) -> None:
    (here / "in.yaml").write_text(text(POD, *OTHERS))
    assert "ingress    0 of 1 " in run("audit", "in.yaml").stdout


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("NetworkPolcy", "NetworkPolicy"), ("networkpolicy", "NetworkPolicy"), ("NetPol", "NetworkPolicy")],
)
def test_a_misspelt_kind_is_a_finding(here: Path, kind: str, meant: str) -> None:
    (here / "in.yaml").write_text(text(DENY.replace("kind: NetworkPolicy", f"kind: {kind}")))
    result = run("lint", "-o", "json", "in.yaml")
    (found,) = json.loads(result.stdout)["findings"]
    assert (found["rule"], found["severity"], found["line"]) == ("unknown-kind", "error", 2)
    assert meant in str(found)
    assert result.exit_code == 1
    assert run("audit", "in.yaml").exit_code == 2


def test_kinds_that_are_there_are_no_misspelt_ones(here: Path) -> None:
    kinds = ["v1 PodTemplate", "v1 Endpoints", "apps/v1 ControllerRevision", "networking.k8s.io/v1 Ingress"]
    split = [kind.split() for kind in kinds]
    objects = [f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}" for version, kind in split]
    (here / "in.yaml").write_text(text(DENY, *objects))
    assert run("lint", "--strict", "in.yaml").exit_code == 0


@pytest.mark.parametrize("version", ["extensions/v1beta1", "apps/v1beta1", "v1", "batch/v1"])
def test_a_workload_of_a_version_that_is_gone_is_a_finding_and_not_there(here: Path, version: str) -> None:
    (here / "in.yaml").write_text(text(WEB.replace("apps/v1", version), POD))
    result = run("lint", "-o", "json", "in.yaml")
    assert [found["rule"] for found in json.loads(result.stdout)["findings"]] == ["removed-api"]
    audit = run("audit", "in.yaml")
    assert "0 of 1 " in audit.stdout
    assert f"so they count as absent: 1 Deployment ({version})" in audit.stderr
    assert run("audit", "--strict", "in.yaml").exit_code == 2


# --- workloads ---


@pytest.mark.parametrize("version_and_kind", ["argoproj.io/v1alpha1 Rollout", "v1 ReplicationController"])
def test_whatever_has_a_pod_template_is_a_workload(here: Path, version_and_kind: str) -> None:
    version, kind = version_and_kind.split()
    workload = WEB.replace("apps/v1", version).replace("Deployment", kind).replace("name: web", "name: w")
    policy = DENY.replace("podSelector: {}", "podSelector: {matchLabels: {app: web}}").replace(
        ", namespace: app", ""
    )
    (here / "in.yaml").write_text(text(workload, policy))
    assert run("lint", "in.yaml").exit_code == 0
    assert f"default/{kind}/w" in run("connections", "in.yaml").stdout
    assert "denied" in run("explain", "192.0.2.1", "default/w", "in.yaml").stdout


@pytest.mark.parametrize(
    "maker",
    [
        "{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {name: p, namespace: app}, spec: {}}",
        "{apiVersion: kafka.strimzi.io/v1beta2, kind: Kafka, metadata: {name: k, namespace: app}, spec: {}}",
        "{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, namespace: app}, spec: {replicas: 2}}",
        "{apiVersion: acid.zalan.do/v1, kind: postgresql, metadata: {name: t, namespace: app}}",
        "{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, namespace: app},"
        " spec: {parts: [{name: a, replicas: 3}]}}",
        "{apiVersion: example.com/v1, kind: Search, metadata: {name: t, namespace: app},"
        " spec: {nodeSets: [{name: a, count: 3}]}}",
        "{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, namespace: app},"
        " spec: {podTemplate: {metadata: {labels: {a: b}}}}}",
        "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: t, namespace: flux},"
        " spec: {targetNamespace: app}}",
        "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: t, namespace: argocd},"
        " spec: {destination: {namespace: app}}}",
    ],
)
def test_a_selector_of_pods_that_an_operator_makes_is_only_for_information(here: Path, maker: str) -> None:
    policy = DENY.replace("podSelector: {}", "podSelector: {matchLabels: {app: made}}")
    (here / "without.yaml").write_text(text(POD, policy))
    (here / "with.yaml").write_text(text(POD, policy, maker))
    for name, severity in (("without.yaml", "warning"), ("with.yaml", "info")):
        (found,) = json.loads(run("lint", "-o", "json", name).stdout)["findings"]
        assert (found["rule"], found["severity"]) == ("selects-nothing", severity)
    assert "makes pods that are not in the input" in found["message"]


@pytest.mark.parametrize(
    "other",
    [
        "{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: c, namespace: app}, spec: {a: {b: 2}}}",
        "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: t, namespace: argocd},"
        " spec: {destination: {namespace: elsewhere}}}",
        WEB.replace("name: web}", "name: web, namespace: app}").replace(
            "spec:\n", "spec:\n  replicas: 2\n", 1
        ),
    ],
)
def test_other_objects_make_no_pods_out_of_sight(here: Path, other: str) -> None:
    policy = DENY.replace("podSelector: {}", "podSelector: {matchLabels: {app: made}}")
    (here / "in.yaml").write_text(text(POD, policy, other))
    (found,) = json.loads(run("lint", "-o", "json", "in.yaml").stdout)["findings"]
    assert (found["rule"], found["severity"]) == ("selects-nothing", "warning")


def test_a_service_without_pods_in_the_input_says_where_they_may_be(here: Path) -> None:
    service = (
        "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: app}, spec: {selector: {app: made}}}"
    )
    (here / "in.yaml").write_text(text(POD, service))
    result = run("explain", "app/db", "app/svc/s", "in.yaml")
    assert result.exit_code == 2
    assert "makes at run time" in result.stderr


# --- ends and near misses ---


@pytest.mark.parametrize(
    ("word", "meant"), [("n1", "node/n1"), ("db", "app/db"), ("apps", "app")], ids=lambda value: str(value)
)
def test_a_bare_word_offers_what_may_be_meant(here: Path, word: str, meant: str) -> None:
    node = "{apiVersion: v1, kind: Node, metadata: {name: n1}}"
    (here / "in.yaml").write_text(text(POD, node))
    result = run("explain", word, "app/db", "in.yaml")
    assert result.exit_code == 2
    assert f"did you mean {meant}" in result.stderr.replace('"', "")


@pytest.mark.parametrize(
    ("port", "told"),
    [
        ([], "would match if it had role=web, on TCP 8080 only"),
        (["--port", "8080"], "would match if it had role=web"),
        (["--port", "80"], "would match if it had role=web, on TCP 8080 only"),
    ],
)
def test_a_label_that_is_missing_is_told_whichever_ports_are_asked_about(
    here: Path, port: list[str], told: str
) -> None:
    rule = "[Ingress], ingress: [{from: [{podSelector: {matchLabels: {role: web}}}], ports: [{port: 8080}]}]"
    (here / "in.yaml").write_text(text(POD, CLIENT, DENY.replace("[Ingress]", rule)))
    lines = run("explain", "app/web", "app/db", *port, "in.yaml").stdout.splitlines()
    assert any(line.endswith(told) for line in lines), lines


def test_a_label_that_a_controller_works_out_may_be_there(here: Path) -> None:
    policy = DENY.replace("podSelector: {}", "podSelector: {matchLabels: {pod-template-hash: abc}}")
    (here / "in.yaml").write_text(text(POD, policy))
    (found,) = json.loads(run("lint", "-o", "json", "in.yaml").stdout)["findings"]
    assert found["severity"] == "info"


def test_one_pod_of_a_set_has_its_labels(here: Path) -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: primary, namespace: app}
spec: {selector: {statefulset.kubernetes.io/pod-name: db-0}, ports: [{port: 5432}]}
"""
    policy = DENY.replace(
        "podSelector: {}", "podSelector: {matchLabels: {apps.kubernetes.io/pod-index: '0'}}"
    )
    (here / "in.yaml").write_text(text(service, SET, CLIENT, policy))
    assert ": denied" in run("explain", "app/web", "app/db-0", "in.yaml").stdout
    assert ": allowed" in run("explain", "app/web", "app/db-1", "in.yaml").stdout
    assert "app/web → app/db-0" in run("explain", "app/web", "app/svc/primary", "in.yaml").stdout
    assert "selects-nothing" not in run("lint", "in.yaml").stdout


def test_one_pod_of_a_set_can_be_asked_about_where_nothing_selects_single_pods(here: Path) -> None:
    (here / "in.yaml").write_text(text(SET, CLIENT))
    result = run("explain", "app/web", "app/db-1", "in.yaml")
    assert result.exit_code == 0
    assert "app/StatefulSet/db" in result.stdout
    assert run("explain", "app/web", "app/db-2", "in.yaml").exit_code == 2


# --- nothing to judge ---


@pytest.mark.parametrize("content", ["", "# nothing\n", text(DENY.replace("NetworkPolicy", "NetworkPolcy"))])
def test_an_audit_of_nothing_is_no_success(here: Path, content: str) -> None:
    (here / "in.yaml").write_text(content)
    result = run("audit", "in.yaml")
    assert result.exit_code == 2
    assert "nothing to audit" in result.stderr


def test_an_audit_that_leaves_everything_out_is_no_success(here: Path) -> None:
    (here / "in.yaml").write_text(text(POD))
    result = run("audit", "--exclude", "app", "in.yaml")
    assert result.exit_code == 2
    assert "excluded" in result.stderr


NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app}\n"
CLOSED = DENY.replace("[Ingress]", "[Ingress, Egress]")


@pytest.mark.parametrize(
    ("command", "content"),
    [
        (["lint"], ""),
        (["lint"], text(POD)),
        (["lint"], text(NAMESPACE, WEB)),
        (["connections"], text(DENY, NAMESPACE)),
        (["graph"], text(DENY, NAMESPACE)),
        (["audit"], text(CLOSED, NAMESPACE)),
        (["audit"], text(CLOSED, POD.replace("spec: {", "spec: {hostNetwork: true, "))),
    ],
)
def test_an_answer_about_nothing_is_no_success(here: Path, command: list[str], content: str) -> None:
    (here / "in.yaml").write_text(content)
    result = run(*command, "in.yaml")
    assert result.exit_code == 2
    assert re.search(r"nothing to (judge|draw)|nothing between|only namespaces were judged", result.stderr)
    assert "100" not in result.stdout.split("NAMESPACES RESTRICTED")[0]


def test_lint_that_leaves_every_file_out_is_no_success(here: Path) -> None:
    (here / "in.yaml").write_text(text(DENY))
    result = run("lint", "--exclude", "in.yaml", ".")
    assert result.exit_code == 2
    assert "nothing to judge: no NetworkPolicy, TenantProfile or PolicyTemplate" in result.stderr


def test_lint_of_nothing_tells_what_there_is_instead(here: Path) -> None:
    (here / "in.yaml").write_text(text(POD, CLIENT, NAMESPACE))
    assert "which holds 2 Pod, 1 Namespace" in run("lint", "in.yaml").stderr


# --- folders ---


def test_files_without_a_kind_that_is_read_stop_nothing(here: Path) -> None:
    (here / "chart/templates").mkdir(parents=True)
    (here / "deny.yaml").write_text(text(DENY))
    (here / "tags.yaml").write_text("sensor: !secret key\n")
    (here / "values.yaml").write_text("a: &x 1\nb: *x\n")
    (here / "chart/templates/svc.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Release.Name }}\n"
    )
    result = run("lint", ".")
    assert (result.exit_code, result.stdout) == (0, "1 object judged: no findings\n")
    for name in ("tags.yaml", "values.yaml", "chart/templates/svc.yaml"):
        assert result.stderr.count(f"note: {name}:") == 1
    assert "a Go template; render it first: helm template" in result.stderr
    assert "chart" not in run("lint", "--exclude", "chart", ".").stderr
    for command in ("lint", "connections", "graph", "explain"):
        assert "--exclude" in run(command, "--help").stdout


def test_every_file_that_cannot_be_read_is_named(here: Path) -> None:
    for name in "ab":
        (here / f"{name}.yaml").write_text("kind: NetworkPolicy\nspec: [\n")
    result = run("lint", ".")
    assert result.exit_code == 2
    assert "a.yaml:3" in result.stderr
    assert "b.yaml:3" in result.stderr


def test_every_object_that_is_refused_is_named(here: Path) -> None:
    wrong = POD.replace("{app: db}", "{version: 1.0}")
    template = "{apiVersion: tenantprofile.dev/v1alpha1, kind: PolicyTemplate, metadata: {name: t}, spec: {}}"
    (here / "in.yaml").write_text(text(wrong, DENY.replace("namespace: app", "namespace: [x]"), template))
    result = run("audit", "in.yaml")
    assert result.exit_code == 2
    for place in (
        "in.yaml:3: Pod app/db: metadata.labels.version: found 1.0",
        "in.yaml:8: NetworkPolicy",
        "in.yaml:11",
    ):
        assert place in result.stderr


KUSTOMIZATION = {
    "base/kustomization.yaml": "resources: [np.yaml, dep.yaml]\n",
    "base/np.yaml": text(DENY.replace(", namespace: app", "")),
    "base/dep.yaml": text(WEB),
    "base/cm.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '1'}}\n",
    "prod/cm.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '2'}}\n",
    "prod/kustomization.yaml": "namespace: prod\nresources: [../base]\npatches: [{path: patch.yaml}]\n",
    "prod/patch.yaml": "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 3}}\n",
}


def kustomization(here: Path) -> None:
    for name, content in KUSTOMIZATION.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(content)


def test_a_kustomization_that_cannot_be_built_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kustomization(here)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    result = run("lint", "-o", "json", ".")
    assert (
        "prod: a kustomization that was not built (neither kustomize nor kubectl is installed)"
        in result.stderr
    )
    assert "kubectl kustomize prod" in result.stderr
    found = [f for f in json.loads(result.stdout)["findings"] if f["rule"] == "duplicate-object"]
    assert [f["file"] for f in found] == ["prod/patch.yaml"], "a ConfigMap is none of lint's business"
    audit = run("audit", ".")
    assert audit.exit_code == 2
    assert "prod/patch.yaml:1: Deployment default/web: given twice" in audit.stderr
    assert "the first is at base/dep.yaml:1" in audit.stderr


def test_what_a_kustomization_builds_is_judged_in_place_of_its_files(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kustomization(here)
    (here / "other.yaml").write_text(text(POD))

    def build(folder: Path) -> kustomize.Built:
        assert folder.name == "prod", "the base is a part of it"
        return kustomize.Built(folder, text(WEB.replace("name: web}", "name: web, namespace: prod}", 1)))

    monkeypatch.setattr(kustomize, "build", build)
    result = run("connections", ".")
    assert result.exit_code == 0
    assert "prod: built as a kustomization" in result.stderr
    assert "prod/Deployment/web" in result.stdout
    assert "default/Deployment/web" not in result.stdout
    assert "app/db" in result.stdout


def test_the_files_of_one_kustomization_are_not_read_again_because_another_one_fails(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kustomization(here)
    (here / "bad").mkdir()
    (here / "bad/kustomization.yaml").write_text("resources: [gone.yaml]\n")

    def build(folder: Path) -> kustomize.Built:
        if folder.name == "bad":
            return kustomize.Built(folder, "", "gone.yaml: no such file")
        return kustomize.Built(folder, text(WEB.replace("name: web}", "name: web, namespace: prod}", 1)))

    monkeypatch.setattr(kustomize, "build", build)
    result = run("connections", ".")
    assert result.exit_code == 0, result.stderr
    assert "default/Deployment/web" not in result.stdout
    assert "gone.yaml: no such file" in result.stderr


# --- namespaces ---


def test_objects_without_a_namespace_are_counted_and_can_be_given_one(here: Path) -> None:
    space = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"
    (here / "in.yaml").write_text(text(space, WEB, DENY.replace(", namespace: app", "")))
    result = run("audit", "in.yaml")
    assert (
        "2 objects without a namespace are taken as in namespace default; name another one with -n"
        in result.stderr
    )
    named = run("audit", "-n", "shop", "in.yaml")
    assert "default" not in named.stdout + named.stderr
    assert "shop" in named.stdout


# --- text ---


def test_json_values_one_after_the_other_are_read(here: Path) -> None:
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in "ab"]
    (here / "in.json").write_text("\n".join(map(json.dumps, spaces)))
    assert "0 of 2 " in run("audit", "in.json").stdout


def test_anchors_and_merge_keys_are_read(here: Path) -> None:
    policy = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: app, labels: &l {app: db}}
spec:
  podSelector: {matchLabels: {<<: *l}}
  policyTypes: [Ingress]
"""
    (here / "in.yaml").write_text(text(policy, POD))
    assert ": denied" in run("explain", "192.0.2.1", "app/db", "in.yaml").stdout
    assert run("lint", "in.yaml").exit_code == 0


@pytest.mark.parametrize("content", [b"\xff", b"kind: Pod\n\x80"])
def test_standard_input_that_is_not_utf_8_is_an_error(content: bytes) -> None:
    result = CliRunner().invoke(main, ["lint", "-"], input=content)
    assert result.exit_code == 2
    assert "standard input: not UTF-8" in result.stderr


# --- values of the wrong type ---

META = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: np\n  namespace: t\n%s\nspec: {}\n"


@pytest.mark.parametrize(
    ("content", "place", "found"),
    [
        (POD.replace("{containers", "{nodeName: [x], containers"), 4, "spec.nodeName: found ['x']"),
        (
            POD.replace("{containers", '{hostNetwork: "false", containers'),
            4,
            "spec.hostNetwork: found 'false'",
        ),
        (POD + "status: {podIP: 10}\n", 5, "status.podIP: found 10"),
        (
            POD.replace("name: db,", "name: db, ownerReferences: [x],"),
            3,
            "metadata.ownerReferences[0]: found 'x'",
        ),
        (POD.replace("{app: db}", "{version: 1.0}"), 3, "metadata.labels.version: found 1.0"),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: t, labels: x}}",
            1,
            "metadata.labels: found 'x'",
        ),
        (
            DENY.replace("name: deny", "name: n"),
            3,
            "metadata.name: found False; expected a string (quote it)",
        ),
        (META % "  labels: {version: 1.0}", 6, "metadata.labels.version: found 1.0"),
        (META % "  annotations: {a: true}", 6, "metadata.annotations.a: found True"),
        (META % "specs: {}", 6, "specs: unknown field"),
        (META.replace("namespace: t", "namespace: [t]") % "", 5, "metadata.namespace: found ['t']"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_its_line(
    here: Path, content: str, place: int, found: str
) -> None:
    (here / "in.yaml").write_text(content.lstrip("\n"))
    for command in (["audit"], ["connections"], ["explain", "app/db", "192.0.2.1"]):
        result = run(*command, "in.yaml")
        assert result.exit_code == 2
        assert f"in.yaml:{place}: " in result.stderr
        assert found in result.stderr
    errors = [
        f
        for f in json.loads(run("lint", "-o", "json", "in.yaml").stdout)["findings"]
        if f["severity"] == "error"
    ]
    assert place in [f["line"] for f in errors]


@pytest.mark.parametrize("target", [-1, 0.5, 70000, [80], True])
def test_a_target_port_that_is_none_is_refused_with_its_line(here: Path, target: object) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "app"},
        "spec": {"selector": {"app": "db"}, "ports": [{"port": 80, "targetPort": target}]},
    }
    (here / "in.yaml").write_text(text(POD, json.dumps(service)))
    result = run("explain", "app/db", "app/svc/s", "in.yaml")
    assert result.exit_code == 2
    assert "in.yaml:6: Service app/s: spec.ports[0].targetPort: found" in result.stderr


def test_half_of_a_character_is_refused_and_a_whole_one_is_not(here: Path) -> None:
    space = '{"apiVersion":"v1","kind":"Namespace",\n"metadata":{"name":"a","annotations":{"n":"%s"}}}'
    (here / "half.json").write_text(space % r"\ud83d")
    result = run("audit", "half.json")
    assert result.exit_code == 2
    assert r"half.json:2:44: found \ud83d" in result.stderr
    (here / "whole.json").write_text(space % r"\ud83d\ude00 \\ud83d")
    assert run("audit", "whole.json").exit_code == 1


def test_a_namespace_that_cannot_be_used_ends_render_with_its_line(here: Path) -> None:
    (here / "ns.yaml").write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: t\n  labels: {env: [a]}\n"
    )
    profile = """
apiVersion: tenantprofile.dev/v1alpha1
kind: TenantProfile
metadata: {name: base}
spec: {namespaceSelector: {matchLabels: {env: a}}, policies: [{template: default-deny}]}
"""
    (here / "profile.yaml").write_text(text(profile))
    result = run("render", "--profile", "profile.yaml", "--namespace", "ns.yaml")
    assert result.exit_code == 2
    assert "ns.yaml:5: Namespace t: metadata.labels.env: found ['a']" in result.stderr


def test_a_bug_ends_a_command_with_a_way_to_report_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr("tenantprofile.cli.output.read_sources", broken)
    (here / "in.yaml").write_text(text(POD))
    result = CliRunner().invoke(main, ["audit", "in.yaml"])
    assert result.exit_code == 2
    assert "this is a bug: KeyError" in result.stderr
    assert "report it" in result.stderr

"""The Helm chart: the same objects as the Kustomize base, valid in every combination, and a whole life of it.

The life is on a control plane of its own: a chart of an earlier version is installed, upgraded, rolled back and
removed by Helm itself, while the operator runs under the account that the chart installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from client import NAMESPACES, PROFILES, TEMPLATES, Client, eventually, policies_of
from controlplane import NO_CONTROLLER_MANAGER, ControlPlane
from helm import Helm, HelmError
from operatorprocess import OperatorProcess, established
from tenantprofile import __version__

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "tenantprofile-operator"
NAME = "tenantprofile-operator"
NAMESPACE = "tenantprofile-system"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OLDEST = "1.33.0"
SERVED = "--api-versions=tenantprofile.dev/v1alpha1"

Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster."""
    return Helm(tmp_path_factory.mktemp("helm"))


def template(helm: Helm, *flags: str) -> list[dict[str, Any]]:
    return helm.template(CHART, *flags, name=NAME, namespace=NAMESPACE)


def comparable(documents: list[dict[str, Any]]) -> Objects:
    """Objects by kind and name, without what Helm adds to labels."""
    added = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
    found: Objects = {}
    for document in documents:
        labels = document["metadata"]["labels"]
        document["metadata"]["labels"] = {
            k: v for k, v in labels.items() if k not in {*added, "helm.sh/chart"}
        }
        place = document["kind"], document["metadata"]["name"]
        assert place not in found, f"{place} is there twice"
        found[place] = document
    return found


def kustomized(cp: ControlPlane, *folders: Path) -> Objects:
    texts = [cp.kubectl("kustomize", str(folder)).stdout for folder in folders]
    return comparable([document for text in texts for document in yaml.safe_load_all(text)])


def test_default_values_install_what_kustomize_installs(cp: ControlPlane, helm: Helm) -> None:
    wanted = kustomized(cp, ROOT / "crds", DEPLOY / "crd-protection", DEPLOY / "base")
    # `helm install --create-namespace` makes it; a release cannot contain the namespace that it is stored in.
    del wanted["Namespace", NAMESPACE]
    found = comparable(template(helm))
    assert set(found) == set(wanted)
    for place, document in wanted.items():
        assert found[place] == document, place


def test_values_and_components_of_the_same_name_are_the_same(
    cp: ControlPlane, helm: Helm, tmp_path: Path
) -> None:
    names = ["audit", "high-availability", "monitoring", "metrics-secure"]
    values = "audit.enabled=true,replicas=2,metrics.enabled=true,metrics.podMonitor.enabled=true"
    values += ",metrics.secure.enabled=true"
    if (DEPLOY / "components" / "guard" / "kustomization.yaml").exists():
        names.append("guard")
        values += ",guard.enabled=true"
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [os.path.relpath(DEPLOY / "base", tmp_path)],
                "components": [os.path.relpath(DEPLOY / "components" / name, tmp_path) for name in names],
            }
        )
    )
    wanted = kustomized(cp, ROOT / "crds", DEPLOY / "crd-protection", tmp_path)
    del wanted["Namespace", NAMESPACE]
    found = comparable(template(helm, f"--set={values}"))
    assert set(found) == set(wanted)
    for place, document in wanted.items():
        assert found[place] == document, place


def test_the_chart_has_the_version_of_the_operator() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


needs_guard = pytest.mark.skipif(
    not (DEPLOY / "components" / "guard" / "kustomization.yaml").exists(), reason="no deploy/components/guard"
)
DIGEST = f"sha256:{'0' * 64}"
COMBINATIONS = {
    "defaults": {},
    "image by digest, pull secret": {
        "image": {"repository": "registry.example/t", "digest": DIGEST, "pullSecrets": [{"name": "pull"}]}
    },
    "highly available": {"replicas": 3, "podDisruptionBudget": {"minAvailable": "50%"}},
    "audit": {
        "audit": {"enabled": True},
        "image": {"pullPolicy": "Always", "pullSecrets": [{"name": "pull"}]},
        "networkPolicy": {"apiServer": {"ports": [8443], "cidrs": ["10.0.0.1/32"]}},
        "metrics": {"scrapeFrom": {"team": "monitoring"}},
    },
    "own placement": {
        "priorityClassName": "",
        "nodeSelector": {"a": "b"},
        "tolerations": [],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "a", "labelSelector": {}}}
                ]
            }
        },
        "podLabels": {"team": "platform"},
        "podAnnotations": {"a": "b"},
        "commonLabels": {"team": "platform"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "env": [{"name": "TENANTPROFILE_RUN_WORKERS", "value": "8"}],
        "args": ["--log-level=debug"],
    },
    "nothing optional": {
        "crds": {"enabled": False, "protect": False},
        "networkPolicy": {"enabled": False},
        "flowControl": {"enabled": False},
        "resourceQuota": {"enabled": False},
        "rbac": {"aggregateToView": False},
    },
    "narrow network": {
        "networkPolicy": {
            "wholeNamespace": False,
            "apiServer": {"ports": [8443], "cidrs": ["192.0.2.1/32", "2001:db8::1/128"]},
            "dns": {"nodeLocalCidrs": []},
        }
    },
    "pod monitor": {
        "metrics": {
            "enabled": True,
            "port": 9100,
            "podMonitor": {"enabled": True, "labels": {"release": "p"}},
        }
    },
    "service monitor": {"metrics": {"enabled": True, "serviceMonitor": {"enabled": True}}},
    "secure metrics": {
        "metrics": {
            "enabled": True,
            "secure": {"enabled": True, "certificateSecret": "mine"},
            "serviceMonitor": {"enabled": True},
        }
    },
    "CRDs that go with the release": {"crds": {"keep": False}},
    "profiles and templates": {
        "profiles": {
            "baseline": {
                "namespaceSelector": {"matchLabels": {"tenant": "chart"}},
                "policies": [{"template": "default-deny"}],
            }
        },
        "templates": {
            "mine": {"description": "of a test", "template": "podSelector: {}\npolicyTypes: [Egress]\n"}
        },
    },
}

MONITORS = {
    "PodMonitor": "podmonitors",
    "ServiceMonitor": "servicemonitors",
    "PrometheusRule": "prometheusrules",
}


@pytest.fixture(scope="module")
def monitors(cp: ControlPlane) -> None:
    """Stand-ins for the CRDs of the Prometheus Operator: names and versions, no schema."""
    for kind, plural in MONITORS.items():
        crd = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                    }
                ],
            },
        }
        cp.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(crd))
    eventually(lambda: all(established(crd) for crd in cp.get("crd")["items"]), within=60.0)


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=list(COMBINATIONS))
def test_the_api_server_takes_every_combination(
    cp: ControlPlane, helm: Helm, monitors: None, values: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    documents = template(helm, f"--values={file}", SERVED)
    done = cp.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        input=yaml.safe_dump_all(documents),
    )
    assert not done.stderr
    assert len(done.stdout.splitlines()) == len(documents)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("replica=2", "replica"),
        ("replicas=two", "replicas"),
        ("image.digest=latest", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("networkPolicy.apiServer.cidrs={10.0.0.1}", "cidrs"),
        ("metrics.podMonitor.enabled=true", "metrics.podMonitor.enabled needs metrics.enabled: true"),
        ("metrics.secure.enabled=true", "metrics.secure.enabled needs metrics.enabled: true"),
        (
            "metrics.enabled=true,metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true",
            "every metric would be scraped twice",
        ),
        ("profiles.a.policies={}", "the CRDs are not installed yet"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Helm, flag: str, said: str) -> None:
    with pytest.raises(HelmError, match=re.escape(said)):
        template(helm, f"--set={flag}")


def test_the_audit_takes_the_values_of_the_operator(helm: Helm) -> None:
    values = COMBINATIONS["audit"]
    flags = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    found = comparable(template(helm, *flags))
    pod = found["Deployment", "tenantprofile-audit"]["spec"]["template"]["spec"]
    operator = found["Deployment", NAME]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == operator["imagePullSecrets"]
    assert pod["containers"][0]["image"] == operator["containers"][0]["image"]
    assert pod["containers"][0]["imagePullPolicy"] == "Always"
    egress = found["NetworkPolicy", "audit-egress"]["spec"]["egress"]
    assert egress[0] == found["NetworkPolicy", "apiserver-egress"]["spec"]["egress"][0]
    ingress = found["NetworkPolicy", "audit-ingress"]["spec"]["ingress"]
    assert ingress[0]["from"][0]["namespaceSelector"]["matchLabels"]["team"] == "monitoring"
    without = comparable(template(helm, "--set=audit.enabled=true,networkPolicy.enabled=false"))
    assert not [name for kind, name in without if kind == "NetworkPolicy"]


@needs_guard
def test_the_guard_takes_its_values(helm: Helm, cp: ControlPlane) -> None:
    flags = "guard.enabled=true,guard.distrusted={system:serviceaccount:argocd:it's},guard.validationActions={Audit}"
    flags += ",guard.gatedNamespaces.matchLabels.tenant=gated"
    documents = [
        d for d in template(helm, f"--set={flags}") if "tenantprofile.dev/guard" in d["metadata"]["labels"]
    ]
    expressions = [
        variable["expression"]
        for d in documents
        for variable in d["spec"].get("variables", [])
        if variable["name"] == "distrusted"
    ]
    assert expressions
    assert set(expressions) == {'["system:serviceaccount:argocd:it\'s"]'}
    actions = [d["spec"]["validationActions"] for d in documents if "validationActions" in d["spec"]]
    assert actions == [["Audit"]] * len(actions)
    gated = {"matchLabels": {"tenant": "gated"}}
    selectors = [d["spec"].get("matchResources", {}).get("namespaceSelector") for d in documents]
    assert selectors.count(gated) == 1
    cp.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", input=yaml.safe_dump_all(documents)
    )


@pytest.mark.slow
def test_helm_3_prints_the_same(helm: Helm, tmp_path: Path) -> None:
    older = Helm(tmp_path, major=3)
    # Without a cluster, Helm 3 takes Kubernetes for a version of its own build, which the chart refuses.
    version = f"--kube-version={OLDEST}"
    file = tmp_path / "values.yaml"
    for values in COMBINATIONS.values():
        file.write_text(yaml.safe_dump(values))
        flags = (f"--values={file}", SERVED, version)
        assert template(older, *flags) == template(helm, *flags)


# A life of a release.


@pytest.fixture(scope="module")
def own() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        if not plane.has_controller_manager:
            pytest.skip(NO_CONTROLLER_MANAGER)
        yield plane


def previous(folder: Path) -> Path:
    """The chart as an earlier version: its number, and a CRD that lacks a field of today."""
    chart = folder / NAME
    shutil.copytree(CHART, chart)
    description = (chart / "Chart.yaml").read_text().replace(f"ersion: {__version__}", "ersion: 0.0.9")
    (chart / "Chart.yaml").write_text(description)
    crd = chart / "files" / "crds" / "tenantprofile.dev_tenantprofiles.yaml"
    document = yaml.safe_load(crd.read_text())
    del document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "suspend"
    ]
    crd.write_text(yaml.safe_dump(document))
    return chart


def profile(name: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"tenant": name}},
        "policies": [{"template": "default-deny"}, {"template": "dns-egress"}],
    }


def is_ready(client: Client, name: str) -> bool:
    status = client.get(f"{PROFILES}/{name}").get("status") or {}
    assert any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])), status
    return True


def versions(client: Client, namespace: str) -> dict[str, tuple[str, str]]:
    """The namespace's policies by name, with uid and resourceVersion: what changes with any write."""
    found = client.items(policies_of(namespace))
    return {p["metadata"]["name"]: (p["metadata"]["uid"], p["metadata"]["resourceVersion"]) for p in found}


@pytest.mark.parametrize("major", [4, pytest.param(3, marks=pytest.mark.slow)])
def test_install_upgrade_roll_back_and_uninstall(own: ControlPlane, tmp_path: Path, major: Any) -> None:
    helm = Helm(tmp_path / "home", own.admin_kubeconfig, major)
    client = Client(own.admin_kubeconfig)
    crd = f"{CRDS}/tenantprofiles.tenantprofile.dev"
    tenant = f"helm{major}"
    client.create(NAMESPACES, {"metadata": {"name": tenant, "labels": {"tenant": tenant}}})

    def fields() -> Any:
        schema = client.get(crd)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return schema["properties"]["spec"]["properties"]

    release = (NAME, f"--namespace={NAMESPACE}")
    # `--wait` would wait for pods, which nobody runs here.
    helm("install", NAME, str(previous(tmp_path)), f"--namespace={NAMESPACE}", "--create-namespace")
    eventually(lambda: established(client.get(crd)), within=60.0)
    assert "suspend" not in fields()

    # Profiles come with an upgrade, and with it today's CRD.
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump(
            {
                "profiles": {tenant: profile(tenant)},
                "templates": {
                    "mine": {"description": "d", "template": "podSelector: {}\npolicyTypes: [Egress]"}
                },
            }
        )
    )
    helm("upgrade", *release[:1], str(CHART), release[1], f"--values={values}")
    assert "suspend" in fields()
    assert client.find(f"{TEMPLATES}/mine") is not None

    with OperatorProcess(own) as operator:
        eventually(lambda: is_ready(client, tenant), within=30.0)
        before = versions(client, tenant)
        assert len(before) == 2

        helm("rollback", NAME, "1", release[1])
        assert "suspend" not in fields()
        assert client.find(f"{PROFILES}/{tenant}") is not None, "taken out of the release, and kept"
        helm("upgrade", *release[:1], str(CHART), release[1], f"--values={values}")

        # The operator still works under what the last upgrade installed, and has written nothing meanwhile.
        client.create(NAMESPACES, {"metadata": {"name": f"{tenant}-late", "labels": {"tenant": tenant}}})
        eventually(lambda: len(client.items(policies_of(f"{tenant}-late"))) == 2, within=30.0)
        assert versions(client, tenant) == before
        assert operator.alive

    helm("uninstall", NAME, release[1])
    assert client.find(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}") is None
    assert client.find(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}") is None
    assert client.find(crd) is not None
    assert client.find(f"{PROFILES}/{tenant}") is not None
    assert versions(client, tenant) == before
    refused = own.kubectl("delete", "crd", "tenantprofiles.tenantprofile.dev", check=False)
    assert f"TenantProfile {tenant}" in refused.stderr

    # What was kept is taken over by the next installation.
    helm("install", NAME, str(CHART), f"--namespace={NAMESPACE}", f"--values={values}")
    assert versions(client, tenant) == before
    helm("uninstall", NAME, release[1])
    client.delete(f"{PROFILES}/{tenant}")

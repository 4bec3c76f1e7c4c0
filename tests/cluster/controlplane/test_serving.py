"""What a control plane does for those who use it."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from controlplane import ClusterError, ControlPlane, ExistingCluster, assets, is_write, kubeconfig


def fresh() -> str:
    return f"t-{uuid.uuid4().hex[:8]}"


def whoami(plane: ControlPlane, file: Path) -> dict[str, object]:
    answer = plane.kubectl("auth", "whoami", "-o", "json", kubeconfig=file)
    status: dict[str, object] = json.loads(answer.stdout)["status"]["userInfo"]
    return status


def test_it_serves_the_version_that_was_built(plane: ControlPlane) -> None:
    served = json.loads(plane.kubectl("version", "-o", "json").stdout)
    assert served["clientVersion"]["gitVersion"] == served["serverVersion"]["gitVersion"]
    if plane.assets.parent == assets.cache_folder():
        assert served["serverVersion"]["gitVersion"] == assets.kubernetes_version()
        assert served["serverVersion"]["minor"] == assets.kubernetes_version().split(".")[1]


def test_the_usual_namespaces_appear_on_their_own(plane: ControlPlane) -> None:
    names = {item["metadata"]["name"] for item in plane.get("namespaces")["items"]}
    assert {"default", "kube-system", "kube-public"} <= names


def test_a_deleted_namespace_goes_with_everything_in_it(controller_manager: ControlPlane) -> None:
    plane, name = controller_manager, fresh()
    plane.kubectl("create", "namespace", name)
    plane.kubectl("create", "configmap", "settings", f"--namespace={name}")
    plane.kubectl("delete", "namespace", name, "--timeout=60s")
    assert "NotFound" in plane.kubectl("get", "namespace", name, check=False).stderr


def test_dependents_go_with_their_owner(controller_manager: ControlPlane) -> None:
    plane, owner, dependent = controller_manager, fresh(), fresh()
    plane.kubectl("create", "configmap", owner)
    uid = plane.get("configmap", owner)["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid}
    metadata = {"name": dependent, "ownerReferences": [reference]}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    plane.kubectl("create", "-f", "-", input=json.dumps(body))
    plane.kubectl("delete", "configmap", owner)
    plane.kubectl("wait", "--for=delete", f"configmap/{dependent}", "--timeout=60s")


def test_a_service_account_kubeconfig_is_that_account_and_no_more(plane: ControlPlane) -> None:
    name = fresh()
    plane.kubectl("create", "serviceaccount", name)
    file = plane.service_account_kubeconfig("default", name)
    assert whoami(plane, file)["username"] == f"system:serviceaccount:default:{name}"
    with pytest.raises(ClusterError, match="cannot list resource"):
        plane.kubectl("get", "secrets", kubeconfig=file)


def test_an_impersonated_kubeconfig_acts_as_user_and_groups(plane: ControlPlane) -> None:
    who = whoami(plane, plane.impersonated_kubeconfig("jane@tenant.example", ["tenants"]))
    assert who["username"] == "jane@tenant.example"
    assert who["groups"] == ["tenants", "system:authenticated"]


def test_rbac_holds_for_an_impersonated_user(plane: ControlPlane) -> None:
    refused = plane.kubectl("get", "secrets", user="jane", groups=["tenants"], check=False)
    assert "forbidden" in refused.stderr.lower()


def test_kubeconfigs_and_keys_are_private_to_their_owner(plane: ControlPlane) -> None:
    plane.impersonated_kubeconfig("jane")
    for file in [*plane.directory.glob("*.kubeconfig"), *plane.directory.glob("*.key")]:
        assert file.stat().st_mode & 0o077 == 0, file


def test_the_audit_log_counts_each_write_of_each_user_once(plane: ControlPlane) -> None:
    user, name = f"auditor-{fresh()}", fresh()
    act_as = {"user": user, "groups": ["system:masters"]}
    plane.kubectl("create", "configmap", name, **act_as)  # type: ignore[arg-type]
    plane.kubectl("get", "configmap", name, **act_as)  # type: ignore[arg-type]
    plane.kubectl("delete", "configmap", name, **act_as)  # type: ignore[arg-type]

    def count() -> Counter[tuple[str, str]]:
        mine = (e for e in plane.audit_events() if e.get("impersonatedUser", {}).get("username") == user)
        return Counter((e["verb"], e["objectRef"]["resource"]) for e in mine if is_write(e))

    deadline = time.monotonic() + 5
    while sum(count().values()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert count() == {("create", "configmaps"): 1, ("delete", "configmaps"): 1}


def test_an_existing_cluster_is_used_by_the_name_of_its_context(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = json.loads(plane.admin_kubeconfig.read_text())
    elsewhere = kubeconfig.for_token("https://127.0.0.1:1", plane.ca_file.read_bytes(), "production", "x")
    mine["contexts"] += elsewhere["contexts"]
    mine["users"] += elsewhere["users"]
    mine["clusters"] += [{**elsewhere["clusters"][0], "name": "elsewhere"}]
    mine["contexts"][1]["context"]["cluster"] = "elsewhere"
    mine["current-context"] = "production"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig.write(tmp_path / "config", mine)))
    monkeypatch.setenv("PATH", str(plane.assets), prepend=":")
    with ExistingCluster("admin") as existing:
        assert existing.url == plane.url
        assert existing.get("namespace", "default")["kind"] == "Namespace"
        assert "production" not in existing.admin_kubeconfig.read_text()
        folder = existing.directory
    assert not folder.exists()


@pytest.mark.parametrize(("context", "reason"), [("", "only by the name"), ("nowhere", "nowhere")])
def test_an_existing_cluster_is_never_guessed(context: str, reason: str, plane: ControlPlane) -> None:
    with pytest.raises(ClusterError, match=reason):
        ExistingCluster(context)

"""Parts that stop, crash and come back, and history that is lost."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from controlplane import NO_CONTROLLER_MANAGER, ControlPlane, ProcessError
from controlplane.local import Part


def configmap(plane: ControlPlane) -> str:
    name = f"kept-{uuid.uuid4().hex[:8]}"
    plane.kubectl("create", "configmap", name)
    return name


@pytest.mark.parametrize("part", ["kube-apiserver", "etcd"])
def test_a_killed_part_comes_back_on_its_address_with_its_data(plane: ControlPlane, part: Part) -> None:
    name, url = configmap(plane), plane.url
    plane.kill(part)
    assert not plane.is_running(part)
    plane.start(part)
    plane.wait_ready()
    assert plane.url == url
    assert plane.get("configmap", name)["metadata"]["name"] == name


def test_a_stopped_api_server_is_gone_soon_and_keeps_data_for_its_next_start(plane: ControlPlane) -> None:
    name = configmap(plane)
    plane.stop("kube-apiserver")
    assert "refused" in plane.kubectl("get", "configmap", name, check=False).stderr
    plane.start("kube-apiserver")
    assert plane.get("configmap", name)["metadata"]["name"] == name


def test_the_controller_manager_can_be_away_for_a_while(controller_manager: ControlPlane) -> None:
    plane = controller_manager
    plane.stop("kube-controller-manager")
    name = f"waits-{uuid.uuid4().hex[:8]}"
    plane.kubectl("create", "namespace", name)
    plane.kubectl("delete", "namespace", name, "--wait=false")
    assert plane.get("namespace", name)["status"]["phase"] == "Terminating"
    plane.start("kube-controller-manager")
    plane.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=60s")


def test_after_compaction_a_watch_from_an_old_version_is_told_it_expired(plane: ControlPlane) -> None:
    old = plane.get("configmap", configmap(plane))["metadata"]["resourceVersion"]
    configmap(plane)
    assert plane.compact() > int(old)
    plane.restart("kube-apiserver", kill=True)  # it forgets what its watch cache held
    path = f"/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=2&resourceVersion={old}"
    event = json.loads(plane.kubectl("get", "--raw", path).stdout.splitlines()[0])
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_compacting_twice_is_no_error(plane: ControlPlane) -> None:
    assert plane.compact() <= plane.compact()


def test_assets_without_a_controller_manager_say_what_will_not_work(
    plane: ControlPlane, tmp_path: Path
) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).symlink_to(plane.assets / name)
    with ControlPlane(assets_folder=tmp_path) as like_envtest:
        assert not like_envtest.has_controller_manager
        assert like_envtest.get("namespace", "default")["kind"] == "Namespace"
        with pytest.raises(ProcessError, match=re.escape(NO_CONTROLLER_MANAGER)):
            like_envtest.start("kube-controller-manager")


def test_a_part_that_cannot_start_shows_the_end_of_its_log() -> None:
    plane = ControlPlane(apiserver_flags=["--no-such-flag"])
    with pytest.raises(ProcessError, match="unknown flag: --no-such-flag"):
        plane.up()
    assert not plane.directory.exists()

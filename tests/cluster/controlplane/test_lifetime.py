"""Side by side, and nothing left behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import controlplane
from controlplane import ControlPlane
from controlplane.workspace import PREFIX, remove_abandoned


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.parent.parent.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


def children(of: int) -> list[int]:
    tasks = Path(f"/proc/{of}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def test_two_at_once_share_nothing_and_leave_nothing(plane: ControlPlane) -> None:
    with ControlPlane(apiserver_flags=["--disable-admission-plugins=ServiceAccount"]) as second:
        assert second.url != plane.url
        assert second.etcd_url != plane.etcd_url
        second.kubectl("create", "namespace", "only-here")
        second.kubectl("run", "pod", "--image=none")  # the admission plugin would wait for an account
        assert "NotFound" in plane.kubectl("get", "namespace", "only-here", check=False).stderr
        pids = [pid for part in second.parts if (pid := second.pid(part))]  # type: ignore[arg-type]
        folder = second.directory
    assert gone(pids)
    assert not folder.exists()
    second.close()


def test_it_outlives_the_thread_that_started_it() -> None:
    plane = ControlPlane(controller_manager=False)
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(plane.up).result()
        time.sleep(0.3)
        assert plane.is_running("etcd")
        assert plane.is_running("kube-apiserver")
    finally:
        plane.close()


def test_it_listens_where_it_is_told_under_the_names_it_is_given() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    names = ["127.0.0.2", "api.example"]
    with ControlPlane(bind_address=everywhere, tls_names=names, controller_manager=False) as plane:
        for name in ("127.0.0.1", "127.0.0.2"):
            server = f"--server=https://{name}:{plane.port}"
            assert plane.kubectl(server, "get", "--raw", "/readyz").stdout == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell a child that its parent died")
def test_a_killed_owner_takes_its_processes_along_and_the_next_one_removes_its_folder() -> None:
    source = Path(controlplane.__file__).parent.parent
    owner = subprocess.Popen(
        [sys.executable, "-m", "controlplane", "up"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    with owner:
        assert owner.stdout is not None
        for line in owner.stdout:
            if line.startswith("export KUBECONFIG="):
                folder = Path(line.split("=", 1)[1].strip()).parent
            if "Ctrl-C" in line:
                break
        pids = children(owner.pid)
        assert len(pids) >= 2
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
    assert gone(pids)
    assert folder.name.startswith(PREFIX)
    remove_abandoned()
    assert not folder.exists()


def test_the_command_line_ends_in_order_on_sigterm() -> None:
    source = Path(controlplane.__file__).parent.parent
    command = [sys.executable, "-m", "controlplane", "up", "--audit"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(source)}
    ) as owner:
        assert owner.stdout is not None
        said = []
        for line in owner.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        folder = Path(
            next(s for s in said if s.startswith("export KUBECONFIG=")).split("=", 1)[1].strip()
        ).parent
        assert folder.exists()
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(20) == 0
    assert not folder.exists()


def test_a_folder_in_use_is_not_taken_for_abandoned(plane: ControlPlane) -> None:
    assert plane.directory not in remove_abandoned()
    assert plane.directory.exists()

"""Thousands of large objects with the operator's label, changed without a pause, against a real operator process.

What serves them is an API server of the test's own (`largeobjects`), because etcd would not hold them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controlplane.process import free_ports

ROOT = Path(__file__).resolve().parents[2]
ROOM = 0.6
"""Of the limit that the Deployment ships with."""


def limit() -> int:
    """Bytes of memory that the Deployment allows."""
    documents = yaml.safe_load_all((ROOT / "deploy/base/deployment.yaml").read_text())
    (deployment,) = [d for d in documents if d["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    text: str = container["resources"]["limits"]["memory"]
    assert text.endswith("Mi")
    return int(text[:-2]) << 20


def memory(pid: int, field: str) -> int:
    """Bytes of VmRSS or VmHWM (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) << 10


class World:
    """The API server and the operator, each a process."""

    def __init__(self, folder: Path, objects: int, changes: int) -> None:
        self.port, self.probes = free_ports(2)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(ROOT / f) for f in ("tests", "operator"))
        }
        self.server = subprocess.Popen(
            [sys.executable, "-m", "attacks.largeobjects", str(self.port), str(objects), str(changes)],
            env=environment,
            cwd=folder,
        )
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "contexts": [context],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "current-context": "c",
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        self.wait(lambda: self.progress() >= 0, "the API server of large objects did not start")
        self.log = (folder / "operator.log").open("w")
        self.operator = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tenantprofile",
                "run",
                f"--kubeconfig={folder / 'kubeconfig'}",
                f"--probe-port={self.probes}",
                "--no-leader-elect",
                "--log-format=text",
            ],
            env=environment,
            cwd=folder,
            stdout=self.log,
            stderr=self.log,
        )

    def wait(self, condition: object, problem: str, within: float = 2400.0) -> None:
        deadline = time.monotonic() + within
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, problem
            time.sleep(0.2)

    def progress(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/progress", timeout=60) as answer:
                return int(answer.read())
        except OSError:
            return -1

    def probe(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probes}/{name}", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self) -> None:
        for process in (self.operator, self.server):
            process.kill()
            process.wait()
        self.log.close()


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    objects, changes = request.param
    made = World(tmp_path, objects, changes)
    try:
        yield made
    finally:
        made.end()


@pytest.mark.timeout(5400)
@pytest.mark.parametrize(
    ("world", "changes"),
    [
        pytest.param((60, 60), 60, id="60 objects"),
        pytest.param((2000, 1000), 1000, id="2000 objects", marks=pytest.mark.slow),
    ],
    indirect=["world"],
)
def test_large_objects_that_change_all_the_time_leave_room_under_the_limit(
    world: World, changes: int, tmp_path: Path
) -> None:
    pid = world.operator.pid

    def ready() -> bool:
        assert world.operator.poll() is None, (tmp_path / "operator.log").read_text()[-3000:]
        return world.probe("readyz")

    world.wait(ready, "the operator does not become ready")
    after_list = memory(pid, "VmHWM")

    def all_sent() -> bool:
        assert world.operator.poll() is None, (tmp_path / "operator.log").read_text()[-3000:]
        return world.progress() >= changes

    world.wait(all_sent, "the operator does not keep up")
    peak, rest = memory(pid, "VmHWM"), memory(pid, "VmRSS")
    print(f"peak after the list {after_list >> 20} MiB, at the end {peak >> 20} MiB, RSS {rest >> 20} MiB")
    assert peak < ROOM * limit()
    assert world.probe("livez")

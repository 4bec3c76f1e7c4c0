"""The commands of the quick start and the how-to guides, run as a reader would: one cluster, one operator, in order.

TENANTPROFILE_DOCS=write heavy python -m pytest tests/cluster/test_docs.py    writes their output into the pages
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controlplane import ControlPlane
from documented import PAGES, ROOT, Block, blocks, folder, rewritten, same
from operatorprocess import OperatorProcess, install

WRITE = os.environ.get("TENANTPROFILE_DOCS") == "write"
PATIENCE = 15.0
"""Seconds within which a command that only looks has to show what the page shows."""
CONTEXT = "kind-tenants"
"""The context that the pages name; the quick start makes a kind cluster called `tenants`."""
LOOKS = ("get", "describe", "events")


@dataclass
class Reader:
    """Somebody who follows the pages, in a folder of their own."""

    plane: ControlPlane
    operator: OperatorProcess
    kubeconfig: Path
    here: Path

    def run(self, command: str) -> str:
        """What a command prints, standard error included, with the exit code where it is not 0."""
        path = [str(Path(sys.executable).parent), str(self.plane.kubectl_program.parent), os.environ["PATH"]]
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.here,
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": ":".join(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout + (f"[exit code {done.returncode}]\n" if done.returncode else "")

    def expect(self, command: str, shown: str) -> tuple[bool, str]:
        """Run a command; one that only looks is repeated until it shows what the page shows."""
        words = command.split()
        looks = (words[0] == "kubectl" and any(word in LOOKS for word in words[1:3])) or words[
            0
        ] == "tenantprofile"
        deadline = time.monotonic() + (2.0 if WRITE else PATIENCE)
        printed = self.run(command)
        while looks and (WRITE or not same(shown, printed)) and time.monotonic() < deadline:
            time.sleep(0.3)
            printed = self.run(command)
        return same(shown, printed), printed


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with ControlPlane() as plane:
        install(plane)
        place = tmp_path_factory.mktemp("reader")
        config = place / "config"
        config.write_text(plane.admin_kubeconfig.read_text())
        reader = Reader(plane, OperatorProcess(plane), config, place)
        renamed = reader.run(f"kubectl config rename-context $(kubectl config current-context) {CONTEXT}")
        assert "renamed" in renamed, renamed
        reader.operator.start()
        yield reader
        reader.operator.stop()


def run_on_cluster(page: Path) -> list[tuple[int, Block]]:
    return [(n, b) for n, b in enumerate(blocks(page)) if b.run == "cluster" or b.operator]


WITH_CLUSTER = [page for page in PAGES if run_on_cluster(page)]


@pytest.mark.parametrize("page", WITH_CLUSTER, ids=[str(page.relative_to(ROOT)) for page in WITH_CLUSTER])
def test_the_commands_of_a_page_do_what_it_shows(reader: Reader, page: Path) -> None:
    reader.here = folder(page, reader.kubeconfig.parent / page.stem)
    if not reader.operator.alive:
        reader.operator.start()
    outputs = {}
    failed = []
    for number, block in run_on_cluster(page):
        if block.operator == "stop":
            reader.operator.stop()
        elif block.operator == "start":
            reader.operator.start()
        if block.run != "cluster":
            continue
        for index, step in enumerate(block.steps):
            good, printed = reader.expect(step.command, step.output)
            if not good:
                outputs[number, index] = printed
                failed.append(
                    f"{block.place}\n$ {step.command}\n--- shown\n{step.output}--- printed\n{printed}"
                )
                if not WRITE:
                    pytest.fail(failed[0] + "\n" + reader.operator.log()[-2000:])
    if WRITE and outputs:
        page.write_text(rewritten(page, outputs), encoding="utf-8")
        print("\n\n".join(failed))

"""`kubectl-tenantprofile` as one file: built, and run where nothing of the project is installed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

import archives

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = ROOT / "deploy" / "krew" / "tenantprofile.yaml"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"


def test_the_krew_manifest_names_every_archive_with_its_sum() -> None:
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in archives.PLATFORMS}
    manifest = yaml.safe_load(archives.krew(sums))
    spec = manifest["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+.*", spec["version"])
    assert len(spec["shortDescription"]) <= 50, "krew cuts it in lists"
    found = {}
    for entry in spec["platforms"]:
        labels = entry["selector"]["matchLabels"]
        found[f"{labels['os']}-{labels['arch']}"] = entry["sha256"]
        assert entry["uri"].endswith(f"kubectl-tenantprofile_{labels['os']}_{labels['arch']}.tar.gz")
        assert f"/{spec['version']}/" in entry["uri"]
        assert entry["bin"] in {file["from"] for file in entry["files"]}
    assert found == sums


def test_a_module_of_another_platform_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01" + bytes(12))
    archives.check(tmp_path, "darwin-arm64")
    with pytest.raises(SystemExit, match=r"a\.so"):
        archives.check(tmp_path, "linux-amd64")


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="runs the file for Linux on amd64")
def test_the_file_for_linux_runs_where_nothing_else_is_installed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert archives.main([f"--output={made}", "--platform=linux-amd64", f"--python={PYTHON}"]) == 0
    programs = tmp_path / "programs"
    programs.mkdir()
    with tarfile.open(made / "kubectl-tenantprofile_linux_amd64.tar.gz") as archive:
        archive.extractall(programs, filter="data")
    # A bare interpreter, and what a shell script needs.
    for name, target in (
        ("python3", os.path.realpath(sys.executable)),
        ("env", "/usr/bin/env"),
        ("sh", "/bin/sh"),
    ):
        (programs / name).symlink_to(target)
    home = tmp_path / "home"
    home.mkdir()

    def said(*command: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(programs / command[0]), *command[1:]],
            env={"PATH": str(programs), "HOME": str(home)},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    name = "kubectl-tenantprofile"
    assert (
        said("python3", "-c", "import importlib.util as u; print(u.find_spec('tenantprofile'))") == "None\n"
    )
    assert said(name, "version", "--client").startswith("Client: ")
    rendered = said(name, "render", str(ROOT / "examples/minimal.yaml"), "-n", "shop")
    assert [policy["metadata"]["name"] for policy in yaml.safe_load_all(rendered)] == [
        "baseline.default-deny",
        "baseline.dns-egress",
    ]
    assert "objects judged" in said(name, "lint", str(ROOT / "examples"), code=1)
    # The client for clusters, with its compiled parts, is loaded as well.
    (home / "kubeconfig").write_text("{}")
    said(name, "status", "--kubeconfig", "kubeconfig", code=2)
    assert said("kubectl_complete-tenantprofile", "templates", "default") == "default-deny\n:4\n"
    if kubectl := shutil.which("kubectl"):
        (programs / "kubectl").symlink_to(kubectl)
        assert said("kubectl", "tenantprofile", "version", "--client").startswith("Client: ")
        assert "default-deny" in said("kubectl", "__complete", "tenantprofile", "templates", "default")

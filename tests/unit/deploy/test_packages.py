"""Wheel and sdist, built and installed as a user installs them: everything that the program reads is inside."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from tenantprofile.guard.manifests import PARTS

ROOT = Path(__file__).resolve().parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEMPLATES = {path.name for path in (ROOT / "templates").glob("*.j2")}
CRDS = {path.name for path in (ROOT / "crds").iterdir()}
PAGE = {path.name for path in (ROOT / "operator" / "tenantprofile" / "drawing" / "page").iterdir()}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, the wheel built from the sources, and the wheel built from the sdist, by name."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    with tarfile.open(sdist) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (sources,) = (folder / "unpacked").iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "again", cwd=sources)
    (again,) = (folder / "again").glob("*.whl")
    return {"sdist": sdist, "wheel": wheel, "again": again}


def install(wheel: Path, folder: Path) -> Path:
    """A clean environment with the wheel, and the dependencies of this one beside it; its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    # Dependencies are what the lock pins, and are not what is tested; the project itself is only in the wheel.
    (own,) = (folder / "lib").glob("python3*/site-packages")
    links = folder / "dependencies"
    links.mkdir()
    (theirs,) = {
        Path(path) for path in sys.path if path.endswith("site-packages") and Path(path, "click").is_dir()
    }
    for entry in theirs.iterdir():
        if "tenantprofile" not in entry.name and entry.suffix != ".pth":
            (links / entry.name).symlink_to(entry)
    (own / "dependencies.pth").write_text(f"{links}\n")
    return python


@pytest.fixture(scope="module")
def python(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the wheel built from the sdist is installed."""
    return install(built["again"], tmp_path_factory.mktemp("clean") / "env")


def test_an_installed_package_has_all_that_it_reads(python: Path, tmp_path: Path) -> None:
    where = run(python, "-c", "import tenantprofile; print(tenantprofile.__file__)", cwd=tmp_path).strip()
    package = Path(where).parent
    assert package.is_relative_to(python.parents[1])
    assert {path.name for path in (package / "builtin" / "templates").iterdir()} == TEMPLATES
    assert {path.name for path in (package / "builtin" / "crds").iterdir()} == CRDS
    assert {path.name for path in (package / "drawing" / "page").iterdir()} == PAGE
    assert (package / "py.typed").is_file()


def test_wheel_and_sdist_hold_the_same(built: dict[str, Path]) -> None:
    contents = []
    for which in ("wheel", "again"):
        with zipfile.ZipFile(built[which]) as archive:
            contents.append({info.filename: info.CRC for info in archive.infolist()})
    assert contents[0] == contents[1]


def test_the_installed_commands_work_away_from_the_repository(python: Path, tmp_path: Path) -> None:
    program = python.parent / "tenantprofile"
    profile = tmp_path / "profile.yaml"
    profile.write_text((ROOT / "examples" / "minimal.yaml").read_text())
    assert "default-deny" in run(program, "templates", cwd=tmp_path)
    assert "baseline.dns-egress" in run(
        program, "render", "--profile", profile, "--namespace", "a", cwd=tmp_path
    )
    assert run(python.parent / "kubectl-tenantprofile", "--version", cwd=tmp_path).startswith("tenantprofile")
    objects = ROOT / "examples" / "applications" / "workloads.yaml"
    run(program, "graph", profile, objects, "-o", "html", "--file", tmp_path / "page.html", cwd=tmp_path)
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_the_wheel_has_the_metadata_that_an_index_shows(built: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - our own wheel, just built
    (info,) = tmp_path.glob("*.dist-info")
    metadata = PathDistribution(info).metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert (info / "licenses" / "LICENSE").is_file()


def test_the_sdist_has_the_sources_and_nothing_of_the_tests(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as tar:
        names = {"/".join(Path(name).parts[1:]) for name in tar.getnames()}
    assert {f"templates/{name}" for name in TEMPLATES} <= names
    assert {f"crds/{name}" for name in CRDS} <= names
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "dev/"))]
    # Of deploy, what the package brings along.
    deploy = {name for name in names if name.startswith("deploy/")}
    assert {f"deploy/components/guard/{part}/policies.yaml" for part in PARTS} <= deploy
    assert all(name.startswith(("deploy/components/guard/", "deploy/static/")) for name in deploy)


def test_the_wheel_has_the_guard(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = set(archive.namelist())
    for part in PARTS:
        for file in ("policies.yaml", "bindings.yaml"):
            assert f"tenantprofile/builtin/guard/{part}/{file}" in names
    assert "tenantprofile/builtin/guard/kustomization.yaml" in names
    assert "tenantprofile/builtin/static/self-protection/policies.yaml" in names

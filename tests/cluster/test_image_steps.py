"""The Dockerfile's own steps, run without a container engine.

Each absolute path of the image becomes the same path below a temporary folder, each COPY copies what it
names from the sources and nothing else, each RUN is run by a shell there. What a step forgets to copy is
therefore missing here as it would be in the image. Not shown: that the base image exists, and what the
container runtime does with USER. `make nightly` builds the image for real (test_image_build.py).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tenantprofile import __version__

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 420


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [value for found, value in self.steps if found == instruction]


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The global arguments and the stages; enough of the format for this one file."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        instruction, _, value = line.partition(" ")
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stages.append(Stage(base, name))
        elif stages:
            stages[-1].steps.append((instruction, value.strip()))
        else:
            assert instruction == "ARG", f"{instruction} before the first FROM"
            key, _, default = value.partition("=")
            arguments[key] = default
    return arguments, stages


ARGUMENTS, STAGES = parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))
BUILD, FINAL = STAGES


@dataclass
class Image:
    """What the steps left behind, below one folder that stands for `/`."""

    root: Path
    environment: Mapping[str, str]

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def run(self, *command: str, directory: Path) -> str:
        """A command in the finished image: its PATH, and nothing of this machine's Python settings."""
        done = subprocess.run(
            command, cwd=directory, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout}\n{done.stderr}"
        return done.stdout


def ignored(path: Path, folder: Path) -> bool:
    """What .dockerignore leaves out: the last pattern that fits decides."""
    relative = path.relative_to(folder).as_posix()
    parents = [relative, *(str(parent) for parent in Path(relative).parents if str(parent) != ".")]
    verdict = False
    for pattern in (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n"):
        if not pattern or pattern.startswith("#"):
            continue
        wanted, keep = pattern.removeprefix("!"), pattern.startswith("!")
        tail = wanted.removeprefix("**/")
        if any(fnmatch(p, wanted) or (tail != wanted and fnmatch(Path(p).name, tail)) for p in parents):
            verdict = not keep
    return verdict


def copy(sources: list[str], target: Path, *, into: bool) -> None:
    for name in sources:
        source = ROOT / name
        assert source.exists(), f"the Dockerfile copies {name}, which does not exist"
        assert not ignored(source, ROOT), f"the Dockerfile copies {name}, which .dockerignore leaves out"
        if source.is_dir():
            shutil.copytree(
                source,
                target,
                dirs_exist_ok=True,
                ignore=lambda at, names: [n for n in names if ignored(Path(at) / n, ROOT)],
            )
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            if into:
                target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def expand(value: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda m: variables.get(m[1], ARGUMENTS.get(m[1], "")), value)


def from_this_machine(variable: str) -> bool:
    """How pip reaches its packages here; nothing that would change what it does with them."""
    return variable.lower().endswith("_proxy") or variable in {
        "PIP_CERT",
        "PIP_CONFIG_FILE",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "PIP_TRUSTED_HOST",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Runs the first stage's steps in order, and what the second takes over from it."""
    root = tmp_path_factory.mktemp("image")
    # `python` of the base image: this interpreter, with a pip of its own and none of our packages.
    subprocess.run([sys.executable, "-m", "venv", str(root / "usr")], check=True)
    environment = {
        "PATH": f"{root / 'usr/bin'}:/usr/bin:/bin",
        "HOME": str(root / "home"),
        "LANG": "C.UTF-8",
        **{key: value for key, value in os.environ.items() if from_this_machine(key)},
    }
    (root / "home").mkdir()
    directory = root
    for instruction, value in BUILD.steps:
        if instruction == "ENV":
            for setting in shlex.split(value):
                key, _, text = setting.partition("=")
                environment[key] = text
        elif instruction == "WORKDIR":
            directory = root / value.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            *sources, target = shlex.split(value)
            copy(sources, directory / target, into=target.endswith("/"))
        elif instruction == "RUN":
            command = re.sub(r"(?<![\w./])/(build|dist|opt|runtime|src)\b", lambda m: f"{root}/{m[1]}", value)
            done = subprocess.run(
                ["/bin/sh", "-ec", command],
                cwd=directory,
                env=environment,
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"RUN {value}\n{done.stdout}\n{done.stderr}"
        else:
            assert instruction == "ARG", f"this test does not know the instruction {instruction}"
    final = {"PATH": f"{root / 'opt/tenantprofile/bin'}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    return Image(root, final)


def test_the_image_runs_the_operator_and_says_its_version(image: Image, tmp_path: Path) -> None:
    assert __version__ in image.run("tenantprofile", "--version", directory=tmp_path)
    assert "run" in image.run("tenantprofile", "--help", directory=tmp_path)


def test_the_image_finds_its_templates(image: Image, tmp_path: Path) -> None:
    listed = image.run("tenantprofile", "templates", directory=tmp_path)
    for path in (ROOT / "templates").glob("*.yaml.j2"):
        assert path.name.removesuffix(".yaml.j2") in listed


def test_templates_and_crds_are_inside(image: Image, tmp_path: Path) -> None:
    script = (
        "import json, importlib.resources as r; b = r.files('tenantprofile').joinpath('builtin');"
        "print(json.dumps({k: {f.name: f.read_text() for f in b.joinpath(k).iterdir() if f.is_file()}"
        " for k in ('templates', 'crds')}))"
    )
    found = json.loads(image.run("python", "-c", script, directory=tmp_path))

    for folder, suffix in (("templates", ".yaml.j2"), ("crds", ".yaml")):
        expected = {
            path.name: path.read_text(encoding="utf-8")
            for path in (ROOT / folder).iterdir()
            if path.name.endswith(suffix)
        }
        assert expected, f"no {suffix} files in {folder}/"
        assert {name: found[folder].get(name) for name in expected} == expected


def test_the_image_holds_no_installer_and_no_sources(image: Image, tmp_path: Path) -> None:
    names = {path.name for path in image.path("/opt/tenantprofile/bin").iterdir()}
    assert not {name for name in names if name.startswith("pip")}
    where = image.run("python", "-c", "import tenantprofile as t; print(t.__file__)", directory=tmp_path)
    assert Path(where.strip()).is_relative_to(image.path("/opt/tenantprofile"))


def runtime(image: Image, absolute: str = "/") -> Path:
    """A path of the last stage, in which paths of the first one are below this test's folder."""
    return image.path("/runtime") / str(image.path(absolute)).lstrip("/")


def test_everything_is_compiled_because_nothing_can_be_written_later(image: Image) -> None:
    package = next(runtime(image, "/opt/tenantprofile").glob("lib/python*/site-packages/tenantprofile"))
    sources = [path for path in package.rglob("*.py") if "builtin" not in path.parts]
    assert sources
    for source in sources:
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), source


def test_the_last_stage_holds_no_shell_and_no_package_manager(image: Image) -> None:
    names = {path.name for path in image.path("/runtime").rglob("*") if path.is_file()}
    assert not names & {"sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "ensurepip"}


@pytest.mark.skipif(not (sys.platform == "linux" and os.geteuid() == 0), reason="chroot needs Linux and root")
def test_the_last_stage_runs_with_nothing_else_around_it(image: Image) -> None:
    """Every library and module that the operator loads is there."""
    program = str(image.path("/opt/tenantprofile/bin/tenantprofile"))
    for arguments in (["--version"], ["templates"], ["run", "--help"]):
        done = subprocess.run(
            [
                shutil.which("chroot") or "chroot",
                "--userspec=65532:65532",
                str(image.path("/runtime")),
                program,
                *arguments,
            ],
            env={"LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_last_stage_is_what_was_collected_and_nothing_more() -> None:
    assert FINAL.base == "scratch"
    assert FINAL.all("COPY") == [f"--from={BUILD.name} /runtime /"]
    assert not FINAL.all("RUN"), "there is no shell to run it"


def test_the_base_image_is_an_argument_and_as_new_as_the_package_demands() -> None:
    assert BUILD.base == "${BASE}"
    base = expand(BUILD.base, {})
    assert re.fullmatch(r"python:3\.\d+(\.\d+)?-slim", base)
    demanded = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert demanded
    assert int(base.split(".")[1].split("-")[0]) >= int(demanded[1])


def test_everything_that_is_installed_is_pinned_by_hash() -> None:
    for step in BUILD.all("RUN"):
        for command in re.findall(r"pip (?:--python \S+ )?install[^&]*", step):
            assert "--require-hashes" in command or "--no-index" in command, command


def test_the_container_is_nobody_by_number_and_runs_the_operator() -> None:
    assert FINAL.all("USER") == ["65532:65532"]
    assert json.loads(FINAL.all("ENTRYPOINT")[0]) == ["tenantprofile"]
    assert json.loads(FINAL.all("CMD")[0]) == ["run"]


def test_labels_say_what_the_image_is() -> None:
    (labels,) = FINAL.all("LABEL")
    found = dict(item.split("=", 1) for item in shlex.split(labels))
    prefix = "org.opencontainers.image."
    assert found[f"{prefix}title"] == "tenantprofile-operator"
    assert found[f"{prefix}licenses"] == "Apache-2.0"
    assert {f"{prefix}version", f"{prefix}revision", f"{prefix}description"} <= set(found)

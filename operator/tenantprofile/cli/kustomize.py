"""Kustomizations in folders: recognised, and built where there is a program that can."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""File names that kustomize looks for (kustomize documentation)."""
LONGEST: Final = 60.0
"""Seconds that one build may take."""


@dataclass(frozen=True, slots=True)
class Built:
    """A kustomization's folder with what it builds; or `problem`, why that is not known."""

    folder: Path
    text: str
    problem: str = ""


def kustomizations(folder: Path) -> list[Path]:
    """The folders below (and including) one that hold a kustomization."""
    return sorted({file.parent for name in NAMES for file in folder.rglob(name) if file.is_file()})


def roots(folders: Iterable[Path]) -> list[Path]:
    """Those that no other one takes up as a resource, base or component: what somebody would apply."""
    known = {folder.resolve(): folder for folder in folders}
    used: set[Path] = set()
    for folder in known.values():
        for entry in _references(folder):
            target = (folder / entry).resolve()
            if target in known:
                used.add(target)
    return [folder for path, folder in known.items() if path not in used]


def reached(folder: Path) -> set[Path]:
    """A kustomization's folder and those of the kustomizations that it takes up, resolved."""
    found: set[Path] = set()
    waiting = [folder.resolve()]
    while waiting:
        one = waiting.pop()
        if one not in found and any((one / name).is_file() for name in NAMES):
            found.add(one)
            waiting.extend((one / entry).resolve() for entry in _references(one))
    return found


def _references(folder: Path) -> list[str]:
    for name in NAMES:
        file = folder / name
        if file.is_file():
            try:
                raw = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
            except (yaml.YAMLError, OSError, UnicodeError, RecursionError):
                return []
            if not isinstance(raw, dict):
                return []
            lists = (raw.get(field) for field in ("resources", "bases", "components"))
            return [
                entry
                for found in lists
                if isinstance(found, list)
                for entry in found
                if isinstance(entry, str)
            ]
    return []


def is_component(folder: Path) -> bool:
    """A Component is built only as a part of something."""
    return any(
        "kind: Component" in (folder / n).read_text(errors="replace") for n in NAMES if (folder / n).is_file()
    )


def build(folder: Path) -> Built:
    """What `kustomize build` or `kubectl kustomize` makes of a folder; they may fetch bases that it names."""
    program = next(
        (
            [path, *arguments]
            for name, arguments in (("kustomize", ["build"]), ("kubectl", ["kustomize"]))
            if (path := shutil.which(name))
        ),
        None,
    )
    if program is None:
        return Built(folder, "", "neither kustomize nor kubectl is installed")
    try:
        done = subprocess.run(
            [*program, str(folder)], capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        return Built(folder, "", str(error))
    if done.returncode:
        return Built(folder, "", (done.stderr.strip().splitlines() or ["failed"])[-1][:300])
    return Built(folder, done.stdout)

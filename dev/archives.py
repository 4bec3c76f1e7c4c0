"""Build `kubectl-tenantprofile` as one file for Linux and macOS, and the krew manifest that names the archives.

    python dev/archives.py [--output=dist] [--platform=linux-amd64] [--python=3.11] …

Each file needs a Python of one of the versions below and nothing else: the pinned dependencies are inside, with
compiled modules for every one of these versions beside each other, because their file names carry the version. shiv
makes the file executable; the first start unpacks it below ~/.shiv. Wheels are taken as they are and never built, so
every platform can be built on any other; what was built for another platform was not run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
NAME: Final = "kubectl-tenantprofile"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
EPOCH: Final = 315532800
"""1 January 1980, the first day that a ZIP file can name: same sources, same bytes."""

# Which wheels fit, best first (packaging.python.org, platform compatibility tags).
PLATFORMS: Final = {
    "linux-amd64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "linux-arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "darwin-amd64": tuple(f"macosx_{v}_{a}" for v in ("13_0", "12_0", "11_0", "10_15", "10_13", "10_12", "10_9")
                          for a in ("x86_64", "universal2")),
    "darwin-arm64": tuple(f"macosx_{v}_{a}" for v in ("14_0", "13_0", "12_0", "11_0", "10_9")
                          for a in ("arm64", "universal2")),
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--platform", action="append", choices=PLATFORMS, dest="platforms")
    parser.add_argument("--python", action="append", choices=PYTHONS, dest="pythons")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    sums: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = own_wheel(Path(folder))
        for platform in given.platforms or PLATFORMS:
            packages = Path(folder) / platform
            for python in given.pythons or PYTHONS:
                for found in wheels(Path(folder) / f"{platform}-{python}", platform, python):
                    unpack(found, packages)
            unpack(wheel, packages)
            check(packages, platform)
            program = Path(folder) / f"{platform}.pyz"
            zipapp(packages, program)
            archive = given.output / f"{NAME}_{platform.replace('-', '_')}.tar.gz"
            archive.write_bytes(packed(program.read_bytes()))
            sums[platform] = hashlib.sha256(archive.read_bytes()).hexdigest()
            print(f"{archive}: {archive.stat().st_size / 1e6:.0f} MB, sha256 {sums[platform]}")
    if set(sums) == set(PLATFORMS):
        manifest = given.output / "tenantprofile.yaml"
        manifest.write_text(krew(sums), encoding="utf-8")
        print(manifest)
    return 0


def own_wheel(folder: Path) -> Path:
    """This project's wheel, built from the sources here."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, f"--wheel-dir={folder}", str(ROOT)], check=True)
    (found,) = folder.glob("tenantprofile_operator-*.whl")
    return found


def wheels(folder: Path, platform: str, python: str) -> list[Path]:
    """The pinned dependencies as they run on a platform and a version of Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    command += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    command += [f"--platform={tag}" for tag in PLATFORMS[platform]]
    requirements = ROOT / "requirements" / "operator.txt"
    subprocess.run([*command, f"--requirement={requirements}", f"--dest={folder}"], check=True)
    return sorted(folder.glob("*.whl"))


def unpack(wheel: Path, packages: Path) -> None:
    """A wheel's files, beside those of the same version that were built for other versions of Python."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            target = packages / member.filename
            if member.filename.partition("/")[0].endswith(".data") or member.is_dir() or target.exists():
                continue  # scripts and headers are for an installation
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def check(packages: Path, platform: str) -> None:
    """Every compiled module is for the platform: what nobody can run here is at least of the right kind."""
    wrong = [path for path in packages.rglob("*.so") if machine(path) not in ("both", platform)]
    if wrong or not any(packages.rglob("*.so")):
        sys.exit(
            f"{platform}: modules for another platform: {[str(path.name) for path in wrong] or 'none at all'}"
        )


def machine(module: Path) -> str:
    """What a compiled module is for, by its header (ELF, e_machine; Mach-O, cputype)."""
    with module.open("rb") as file:
        head = file.read(20)
    if head[:4] == b"\x7fELF":
        return {62: "linux-amd64", 183: "linux-arm64"}.get(int.from_bytes(head[18:20], "little"), "")
    if head[:4] == b"\xca\xfe\xba\xbe":
        return "both"  # a universal binary, which macOS alone has
    if head[:4] == b"\xcf\xfa\xed\xfe":
        kinds = {0x01000007: "darwin-amd64", 0x0100000C: "darwin-arm64"}
        return kinds.get(int.from_bytes(head[4:8], "little"), "")
    return ""


def zipapp(packages: Path, program: Path) -> None:
    """One executable file."""
    command = [sys.executable, "-m", "shiv.cli", "--reproducible", f"--site-packages={packages}"]
    command += ["--entry-point=tenantprofile.cli.main:plugin", "--python=/usr/bin/env python3"]
    subprocess.run(
        [*command, "--compressed", f"--output-file={program}"],
        check=True,
        env={"SOURCE_DATE_EPOCH": str(EPOCH), "PATH": "/usr/bin:/bin", "HOME": str(packages.parent)},
    )


def packed(program: bytes) -> bytes:
    """The archive that krew unpacks: the program, its completion, the licence."""
    sys.path.insert(0, str(ROOT / "operator"))
    from tenantprofile.cli.about import KUBECTL_COMPLETION

    files = (
        (NAME, program, 0o755),
        ("kubectl_complete-tenantprofile", KUBECTL_COMPLETION.encode(), 0o755),
        ("LICENSE", (ROOT / "LICENSE").read_bytes(), 0o644),
    )
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=EPOCH) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for name, data, mode in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), mode, EPOCH
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def krew(sums: dict[str, str]) -> str:
    """The manifest of deploy/krew with the archives of this build (krew documentation, plugin manifest)."""
    sys.path.insert(0, str(ROOT / "operator"))
    from tenantprofile import __version__

    manifest: dict[str, Any] = yaml.safe_load((ROOT / "deploy/krew/tenantprofile.yaml").read_text())
    manifest["spec"]["version"] = f"v{__version__}"
    for entry in manifest["spec"]["platforms"]:
        labels = entry["selector"]["matchLabels"]
        entry["uri"] = entry["uri"].replace("VERSION", __version__)
        entry["sha256"] = sums[f"{labels['os']}-{labels['arch']}"]
    return _dumped(manifest)


def _dumped(manifest: dict[str, Any]) -> str:
    return str(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    sys.exit(main())

"""`make release`: check that a release is consistent, and build everything that belongs to it into dist/.

    python dev/release.py            the checklist, then wheel, sdist, kubectl plugin, image, chart, SBOM, site, digests
    python dev/release.py --check    the checklist alone

The checklist stops the release where one of its points does not hold. The image is built by docker or podman, or
without a registry by buildah (dev/containerimage.py); where none of them can, the reason is printed and is in
dist/RELEASE.md, and the rest is built.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

import containerimage
from helm import Helm, HelmError

ROOT: Final = Path(__file__).resolve().parents[1]
DIST: Final = ROOT / "dist"
CHART: Final = ROOT / "deploy" / "helm" / "tenantprofile-operator"
PYTHON: Final = sys.executable


class ReleaseError(RuntimeError):
    """A step did not end as it should; the message ends with what it said."""


def run(*command: str | Path) -> str:
    """Run a command in the repository; what it printed. Raises ReleaseError."""
    done = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-2000:].strip()}")
    return done.stdout


# --- the checklist ---


def version() -> str:
    """The version that the package says."""
    text = (ROOT / "operator" / "tenantprofile" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.M)
    if found is None:
        raise ReleaseError("operator/tenantprofile/__init__.py has no __version__")
    return found[1]


def one_version() -> None:
    """Package and chart have the same version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    for key in ("version", "appVersion"):
        if chart[key] != version():
            raise ReleaseError(f"Chart.yaml says {key} {chart[key]}, the package says {version()}")


def changelog_has_it() -> None:
    """The changelog has a section for the version."""
    if f"## [{version()}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise ReleaseError(f"CHANGELOG.md has no section [{version()}]; rename [Unreleased], and date it")


def nothing_uncommitted() -> None:
    """What is released is what is committed."""
    if changed := run("git", "status", "--porcelain").strip():
        raise ReleaseError(f"uncommitted changes:\n{changed}")


def pages_are_current() -> None:
    """Generated pages say what their sources say."""
    for script in ("docs/generate.py", "docs/pictures.py", "deploy/helm/generate.py"):
        run(PYTHON, script, "--check")


def dependencies_are_locked() -> None:
    """The lock has what pyproject.toml asks for."""
    run(PYTHON, "-m", "pytest", "-q", "tests/unit/deploy/test_lock.py")


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    one_version,
    changelog_has_it,
    nothing_uncommitted,
    pages_are_current,
    dependencies_are_locked,
)


def check() -> bool:
    """Go through the list, and say of each point whether it holds; whether all do."""
    good = True
    for point in CHECKS:
        try:
            point()
            mark, why = "ok", ""
        except ReleaseError as error:
            good, mark, why = False, "NO", f"\n     {str(error).replace(chr(10), chr(10) + '     ')}"
        print(f"[{mark}] {str(point.__doc__).rstrip('.')}{why}", flush=True)
    return good


# --- what is built ---


def packages() -> Iterator[Path]:
    """Wheel and sdist."""
    run(PYTHON, "-m", "hatchling", "build", "-d", DIST)
    yield from sorted(DIST.glob(f"tenantprofile_operator-{version()}*"))


def plugin() -> Iterator[Path]:
    """`kubectl-tenantprofile` as one file for each platform, and the krew manifest with their digests."""
    run(PYTHON, "dev/archives.py", f"--output={DIST}")
    yield from sorted(DIST.glob("kubectl-tenantprofile_*.tar.gz"))
    yield DIST / "tenantprofile.yaml"


def chart() -> Iterator[Path]:
    """The Helm chart."""
    with tempfile.TemporaryDirectory() as home:
        try:
            Helm(Path(home))("package", str(CHART), "--destination", str(DIST))
        except HelmError as error:
            raise ReleaseError(str(error)) from error
    yield DIST / f"tenantprofile-operator-{version()}.tgz"


def sbom() -> Iterator[Path]:
    """What the image installs, as CycloneDX."""
    run("make", "sbom")
    yield DIST / "tenantprofile-operator.cdx.json"


def site() -> Iterator[Path]:
    """The documentation, as one archive."""
    run("make", "site")
    archive = DIST / f"tenantprofile-site-{version()}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(DIST / "site", arcname=f"tenantprofile-site-{version()}")
    yield archive


def serves(engine: str) -> bool:
    """Whether a container engine is installed, and its daemon answers."""
    return (
        shutil.which(engine) is not None
        and not subprocess.run([engine, "info"], capture_output=True).returncode
    )


def image() -> Iterator[Path]:
    """The image, as an archive that `docker load` and `skopeo copy` read. Raises ReleaseError with why not."""
    archive = DIST / f"tenantprofile-operator-image-{version()}.tar"
    archive.unlink(missing_ok=True)
    name = f"tenantprofile-operator:{version()}"
    engine = next(filter(serves, ("docker", "podman")), None)
    if engine is not None:
        run(engine, "build", "--build-arg", f"VERSION={version()}", "-t", name, ".")
        run(engine, "save", "-o", archive, name)
    elif reason := containerimage.unavailable():
        raise ReleaseError(f"neither docker nor podman answers; {reason}")
    else:
        builder = containerimage.Builder(Path(tempfile.mkdtemp(prefix="release-")))
        try:
            built = builder.build(builder.base())
            builder("push", built, f"docker-archive:{archive}:{name}")
        except containerimage.ImageError as error:
            raise ReleaseError(str(error)) from error
        finally:
            builder.close()
    yield archive


BUILDS: Final[tuple[Callable[[], Iterator[Path]], ...]] = (packages, plugin, chart, sbom, site, image)
OPTIONAL: Final = {"image"}
"""What a machine without a container engine cannot build."""


def build() -> bool:
    """Build everything, and write the list with digests; whether nothing failed but what is optional."""
    DIST.mkdir(exist_ok=True)
    rows, good = [], True
    for step in BUILDS:
        try:
            for file in step():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                rows.append(f"{digest}  {file.name}")
                print(f"built {file.relative_to(ROOT)}", flush=True)
        except ReleaseError as error:
            good = good and step.__name__ in OPTIONAL
            rows.append(f"not built: {step.__name__}: {str(error).splitlines()[-1]}")
            print(f"NOT BUILT: {step.__name__}: {error}", file=sys.stderr, flush=True)
    (DIST / "RELEASE.md").write_text(
        "\n".join([f"# TenantProfile operator {version()}", "", "SHA-256:", "", "```text", *rows, "```", ""]),
        encoding="utf-8",
    )
    print(f"wrote {(DIST / 'RELEASE.md').relative_to(ROOT)}")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="go through the checklist alone")
    parser.add_argument(
        "--anyway", action="store_true", help="build although a point does not hold (for a trial)"
    )
    options = parser.parse_args(arguments)
    good = check()
    if options.check or (not good and not options.anyway):
        return 0 if good else 1
    return 0 if build() and good else 1


if __name__ == "__main__":
    sys.exit(main())

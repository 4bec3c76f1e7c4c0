"""The image, built for real and run as the Deployment would run it: read-only root, user 65532, nothing around it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerimage
from cluster.conftest import World
from containerimage import Builder, contained
from controlplane import ControlPlane
from operatorprocess import OperatorProcess
from tenantprofile import __version__

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(containerimage.unavailable()), reason=containerimage.unavailable()),
]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("image"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def base(builder: Builder) -> str:
    return builder.base()


@pytest.fixture(scope="module")
def image(builder: Builder, base: str) -> Path:
    """The files of the image."""
    return builder.unpack(builder.build(base))


def run(image: Path, *command: str) -> str:
    done = subprocess.run([*contained(image), *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_runs_as_nobody_on_a_root_that_cannot_be_written(image: Path) -> None:
    assert __version__ in run(image, "tenantprofile", "--version")
    script = (
        "import errno, os, pathlib, shutil\n"
        "assert os.getuid() == os.getgid() == 65532\n"
        "try: pathlib.Path('/opt/tenantprofile/x').touch()\n"
        "except OSError as error: assert error.errno == errno.EROFS, error\n"
        "else: raise AssertionError('the root can be written')\n"
        "pathlib.Path('/tmp/x').touch()\n"
        "assert not any(shutil.which(n) for n in ('sh', 'bash', 'dash', 'apt', 'dpkg', 'pip', 'pip3', 'perl'))\n"
        "import ssl; ssl.create_default_context()\n"
    )
    run(image, "python", "-c", script)


def test_it_holds_nothing_of_the_machine_that_built_it(image: Path) -> None:
    top = {path.name for path in image.iterdir()}
    assert top <= {"dev", "etc", "lib", "lib64", "opt", "proc", "run", "sys", "tmp", "usr"}
    assert not list((image / "etc").rglob("pip.conf"))
    assert {path.name for path in (image / "usr" / "bin").iterdir()} == {"python3"}


def test_two_builds_hold_the_same_bytes(builder: Builder, base: str, image: Path) -> None:
    again = builder.unpack(builder.build(base, "localhost/again"))
    assert contents(again) == contents(image)


def contents(root: Path) -> dict[str, str]:
    """Every file and link of an image with a hash of its content."""
    found = {}
    for path in sorted(root.rglob("*")):
        place = str(path.relative_to(root))
        if path.is_symlink():
            found[place] = f"-> {path.readlink()}"
        elif path.is_file():
            found[place] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_the_operator_in_it_protects_a_namespace(image: Path, cp: ControlPlane, world: World) -> None:
    namespace = world.namespace()
    world.profile("default-deny", "dns-egress")
    account = cp.service_account_kubeconfig("tenantprofile-system", "tenantprofile-operator")
    inside = Path("/tmp") / account.name
    program = (*contained(image, str(account)), "tenantprofile")
    process = OperatorProcess(cp, kubeconfig=inside, program=program)
    with process:
        world.has(namespace, f"{world.tag}.default-deny", f"{world.tag}.dns-egress")
        world.is_ready()

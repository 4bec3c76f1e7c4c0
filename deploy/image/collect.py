"""Copy a virtual environment, and of the system only what it needs to run, into a folder that becomes the image.

    python3 collect.py ENVIRONMENT TARGET

That is the interpreter, its standard library without tests and tools, the shared libraries that either loads, and
the names of two users. No shell, no package manager, no installer. Everything is compiled here, with hashes instead
of times inside, because the running container cannot write and two builds should yield the same bytes.
"""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

UNUSED = shutil.ignore_patterns(
    "__pycache__", "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tkinter", "turtle*", "venv", "*.a",
)  # fmt: skip
PASSWD = "root:x:0:0:root:/:/nonexistent\ntenantprofile:x:65532:65532::/tmp:/nonexistent\n"  # noqa: S105
GROUP = "root:x:0:\ntenantprofile:x:65532:\n"
# Where the loader looks for libraries, and which authorities to trust outside a cluster; where the base has them.
SETTINGS = ("/etc/ld.so.cache", "/etc/ssl/certs/ca-certificates.crt")


def libraries(binary: Path) -> Iterator[Path]:
    """The shared libraries that a binary loads, and the loader, as ldd(1) finds them; none for a static one."""
    done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        missing = re.search(r"(\S+) => not found", line)
        if missing:
            sys.exit(f"{binary}: the shared library {missing[1]} is not in the base image")
        found = re.search(r"(/\S+) \(0x", line)
        if found:
            yield Path(found[1])


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def copy(source: Path, root: Path) -> None:
    """One file at its own path below `root`, links followed."""
    target = root / source.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.resolve(), target)


def collect(environment: Path, root: Path) -> None:
    """Fill `root`. `environment` is made by the interpreter that runs this."""
    below = environment.relative_to("/")
    shutil.copytree(environment, root / below, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined]
    copy(interpreter, root)
    stdlib = Path(
        sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    )
    shutil.copytree(stdlib, root / stdlib.relative_to("/"), ignore=UNUSED, dirs_exist_ok=True)
    # The environment's `python` is a link to a link: give it the interpreter's own path.
    for name in ("python", "python3"):
        link = root / below / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(interpreter)
    for activation in (root / below / "bin").glob("[aA]ctivate*"):
        activation.unlink()
    binaries = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and is_elf(p)]
    for binary in binaries:
        for library in libraries(binary):
            if not library.is_relative_to(root):
                copy(library, root)
    for setting in map(Path, SETTINGS):
        if setting.exists():
            copy(setting, root)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "passwd").write_text(PASSWD)
    (root / "etc" / "group").write_text(GROUP)
    for name in ("dev", "proc", "sys", "tmp"):  # where the container runtime mounts
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    compiled = compileall.compile_dir(
        root,
        maxlevels=50,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("some modules do not compile; see above")


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))

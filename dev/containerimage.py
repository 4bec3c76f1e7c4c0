"""Build the image without a container engine or a registry, and run what is in it.

Debian's buildah builds the Dockerfile in a chroot, on a base that mmdebstrap makes from Debian packages. Needs Linux,
root, both packages (dev/image-packages.txt) and a Debian mirror.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("buildah", "mmdebstrap", "unshare", "chroot")
SUITE = "bookworm"
PYTHON = "python3,python3-pip,python3-venv"


class ImageError(RuntimeError):
    """A step of the build failed; the message ends with what it said."""


def unavailable() -> str:
    """Why no image can be built here; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "building the image needs Linux and root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (make system-packages)" if missing else ""


def _run(command: Sequence[str], seconds: float = 900.0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise ImageError(
            f"{' '.join(command[:6])} …: status {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
        )
    return done.stdout


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah with its storage in one folder."""

    folder: Path

    def __call__(self, *arguments: str) -> str:
        """Run buildah; what it printed. Raises ImageError."""
        store = [f"--root={self.folder}/store", f"--runroot={self.folder}/run", "--storage-driver=vfs"]
        return _run(["buildah", *store, *arguments]).strip()

    def base(self, name: str = "localhost/base") -> str:
        """Make the base image from Debian packages; its name."""
        archive = self.folder / "base.tar"
        _run(["mmdebstrap", "--quiet", "--variant=apt", f"--include={PYTHON}", SUITE, str(archive)])
        container = self("from", "scratch")
        self("add", "--quiet", container, str(archive), "/")
        self("commit", "--quiet", container, name)
        self("rm", container)
        archive.unlink()
        return name

    def build(self, base: str, name: str = "localhost/tenantprofile-operator") -> str:
        """Build the Dockerfile on a base; the image's name."""
        self(
            "build-using-dockerfile",
            "--isolation=chroot",
            "--network=host",
            *self._pip(),
            f"--build-arg=BASE={base}",
            f"--tag={name}",
            str(ROOT),
        )
        return name

    def unpack(self, image: str) -> Path:
        """The image's files, as a folder that is gone with the builder's."""
        return Path(self("mount", self("from", image)))

    def close(self) -> None:
        """Unmount and remove everything."""
        self("umount", "--all")
        self("rm", "--all")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pip(self) -> list[str]:
        """How pip reaches its packages on this machine, mounted into the build and not into the image."""
        settings = {
            key.removeprefix("PIP_").lower().replace("_", "-"): value
            for key, value in os.environ.items()
            if key in {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"}
        }
        mounts = []
        authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
        if authorities:
            settings["cert"] = "/run/authorities.crt"
            mounts.append(f"--volume={authorities}:/run/authorities.crt:ro")
        file = self.folder / "pip.conf"
        file.write_text("\n".join(["[global]", *(f"{k} = {v}" for k, v in settings.items()), ""]))
        return [*mounts, f"--volume={file}:/etc/pip.conf:ro"]


def contained(root: Path, *mounts: str) -> list[str]:
    """The start of a command line that runs a program as the Deployment would: root read-only, `/tmp` in memory,
    user 65532, nothing of this machine. `mounts` are files to have in `/tmp`."""
    files = "".join(
        f'cp "{name}" "{root}/tmp/" && chmod 644 "{root}/tmp/{Path(name).name}" && ' for name in mounts
    )
    script = (
        f'mount --bind "{root}" "{root}" && mount -o remount,ro,bind "{root}" && '
        f'mount -t tmpfs tmpfs "{root}/tmp" && chmod 1777 "{root}/tmp" && mount -t proc proc "{root}/proc" && {files}'
        f'exec chroot --userspec=65532:65532 "{root}" "$@"'
    )
    environment = ["PATH=/opt/tenantprofile/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
    unbuffered = ["PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"]
    env = shutil.which("env") or "/usr/bin/env"
    return [env, "-i", *environment, *unbuffered, "unshare", "--mount", "/bin/sh", "-ec", script, "sh"]

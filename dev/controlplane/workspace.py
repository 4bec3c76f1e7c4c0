"""The temporary folder of one control plane, gone with its owner.

The owner holds a lock on a file in it. The kernel drops that lock however the
owner ends, so a folder that can be locked belongs to nobody any more, as
after a SIGKILL, and the next control plane of the same user removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

PREFIX = "controlplane-"
_LOCK = "owner.lock"


class Workspace:
    """A private folder (mode 0700) under the system's temporary folder."""

    def __init__(self) -> None:
        remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self._lock: IO[str] = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def remove_abandoned() -> list[Path]:
    """Remove this user's folders whose owner is gone, and say which."""
    removed = []
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # held by its owner, another user's, or just gone
            if lock.stat().st_uid != os.getuid():
                continue
            with lock.open("r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
                removed.append(lock.parent)
    return removed

"""Become another program that does not outlive the process that started it.

Run as ``python -I -S die_with_parent.py PARENT PROGRAM ARGUMENT...``. On
Linux the kernel is told to kill this process when its parent ends in any way
(prctl(2), PR_SET_PDEATHSIG; the setting survives execve(2)). Elsewhere this
only becomes the program. A process of its own does it, because code between
fork and exec is not safe in a parent with threads.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, program: str, arguments: list[str]) -> None:
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:  # it ended before the kernel was told
            sys.exit(1)
    os.execv(program, [program, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

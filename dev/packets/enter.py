"""Become another program, in another network namespace.

Run as ``python -I -S enter.py NAMESPACE PROGRAM ARGUMENT...``. A process of its own does it: the
namespace of a whole process can be chosen only before the program in it has threads.
"""

import ctypes
import os
import sys


def main(namespace: str, program: str, arguments: list[str]) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), f"setns({namespace}): {os.strerror(ctypes.get_errno())}")
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{path}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    os.execv(program, [program, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

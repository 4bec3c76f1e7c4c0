"""Network namespaces without a name, held open by a file descriptor.

`ip netns add` would leave a mount behind when its caller is killed. A namespace that only file
descriptors hold goes away with the process (network_namespaces(7), namespaces(7)).

A thread enters a namespace for the length of one call and ends. The main thread never does.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

Result = TypeVar("Result")

CLONE_NEWNET = 0x40000000
# Debian keeps ip, iptables and ipset where an unprivileged user's path does not lead.
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


class NetnsError(RuntimeError):
    """The kernel or a network tool refused; the message says what and why."""


class Netns:
    """One network namespace, as long as this object is open."""

    def __init__(self) -> None:
        self._descriptor = _in_thread(_make)

    @property
    def path(self) -> str:
        """Where any process of the same user finds it while it is open here."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def run(self, function: Callable[[], Result]) -> Result:
        """Call a function in the namespace, on a thread of its own."""

        def inside() -> Result:
            enter(self._descriptor)
            return function()

        return _in_thread(inside)

    def command(self, *command: str, input: str = "") -> str:
        """Run a program in the namespace and return what it prints. Raises NetnsError."""

        def inside() -> subprocess.CompletedProcess[str]:
            # The child is forked from this thread and so begins in its namespace.
            return subprocess.run(
                command,
                input=input,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                env=os.environ | {"PATH": SYSTEM_PATH},
            )

        try:
            done = self.run(inside)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            raise NetnsError(f"{' '.join(command)}: {error}") from error
        if done.returncode:
            raise NetnsError(f"{' '.join(command)}: {done.stderr.strip()}\n{input}".strip())
        return done.stdout

    def ip(self, lines: Sequence[str]) -> None:
        """Several commands of ip(8) in one go."""
        self.command("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def sysctl(self, settings: Mapping[str, str], *, optional: bool = False) -> None:
        """Kernel settings of this namespace (/proc/sys/net shows the reader's own)."""

        def inside() -> None:
            for name, value in settings.items():
                try:
                    Path("/proc/sys", *name.split("/")).write_text(value)
                except OSError as error:
                    if not optional:
                        raise NetnsError(f"sysctl {name}={value}: {error}") from error

        self.run(inside)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def enter(descriptor: int) -> None:
    """Move the calling thread into a namespace (setns(2); Python has it only from 3.12)."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


def _make() -> int:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise NetnsError("a new network namespace: " + os.strerror(ctypes.get_errno()))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _in_thread(function: Callable[[], Result]) -> Result:
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]

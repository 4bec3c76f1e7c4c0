"""One program of the control plane as a child process.

It can be stopped, killed and started again with the same command line, keeps
one log over all its lives, is told apart from the terminal's Ctrl-C, and ends
with this process however this process ends.
"""

from __future__ import annotations

import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

_Child = subprocess.Popen[bytes]
_DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")


class ProcessError(RuntimeError):
    """A program ended, or did not answer, when it should be serving."""


class Process:
    """A program, its arguments, and its log file."""

    def __init__(self, program: Path, arguments: Sequence[str], log: Path, folder: Path) -> None:
        self.name = program.name
        self.program = program
        self.arguments = list(arguments)
        self.log = log
        self._folder = folder
        self._child: _Child | None = None
        #: Whether it was started and not ended on purpose since.
        self.wanted = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child and self._child.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Start it, unless it runs already. Does not wait until it serves."""
        self.wanted = True
        if not self.running:
            self._child = _spawner.run(self._open)

    def stop(self, timeout: float = 30.0) -> None:
        """Ask it to end (SIGTERM), and insist after the timeout."""
        self.wanted = False
        if self._signal(signal.SIGTERM):
            try:
                self._wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash or an out-of-memory kill would."""
        self.wanted = False
        self._signal(signal.SIGKILL)
        self._wait(30.0)

    def explain(self) -> str:
        """Whether it runs, and the end of its log."""
        state = "runs"
        if not self.running:
            state = (
                "was not started" if self._child is None else f"ended with status {self._child.returncode}"
            )
        lines = self.log.read_text(errors="replace").splitlines()[-25:] if self.log.exists() else []
        return "\n".join([f"{self.name} {state}. The end of its log:", *lines])

    def _open(self) -> _Child:
        command = [sys.executable, "-I", "-S", str(_DIE_WITH_PARENT), str(os.getpid())]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, str(self.program), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> bool:
        if self._child is None or self._child.poll() is not None:
            return False
        self._child.send_signal(number)
        return True

    def _wait(self, timeout: float) -> None:
        if self._child is not None:
            self._child.wait(timeout)


class _Spawner:
    """Starts children from one thread that lives as long as this process.

    PR_SET_PDEATHSIG fires when the parent *thread* ends (prctl(2), Caveats),
    so a control plane started from a thread pool would die with its thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tasks: queue.SimpleQueue[tuple[Callable[[], _Child], Future[_Child]]] = queue.SimpleQueue()

    def run(self, opener: Callable[[], _Child]) -> _Child:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name="controlplane-spawner", daemon=True)
                self._thread.start()
        result: Future[_Child] = Future()
        self._tasks.put((opener, result))
        return result.result()

    def _serve(self) -> None:
        while True:
            opener, result = self._tasks.get()
            try:
                result.set_result(opener())
            except Exception as error:
                result.set_exception(error)


_spawner = _Spawner()


# Ports given out by this process, kept from others for as long as it lives.
_claims: list[socket.socket] = []


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on, given to nobody else who asks here.

    They lie below the range from which the kernel gives ports to outgoing
    connections, so that none is lost while a program restarts.
    """
    below = 32768
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if setting.exists():
        below = int(setting.read_text().split()[0])
    lowest = 20000 if below > 22000 else 1024
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found: list[int] = []
    for port in random.sample(range(lowest, max(below, lowest + 4000)), 2000):
        if not _claim(port):
            continue
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ProcessError(f"No {count} free ports on {address}")


def _claim(port: int) -> bool:
    """Keep the port from other processes that are about to start a control plane.

    On Linux by a name in the abstract socket namespace, which needs no file
    and goes with its process (unix(7)); elsewhere chance has to do.
    """
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0tenantprofile-controlplane-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True

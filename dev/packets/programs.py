"""Talk to the two programs: a JSON line there, a JSON line back.

They end when their standard input does. Only this process holds its other end, so they do not
outlive it, however it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .flows import Outcome, Protocol

_HERE = Path(__file__).resolve().parent.parent


class ProgramError(RuntimeError):
    """A program ended or could not do what it was told."""


class Program:
    """One of them, running."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._lock = threading.Lock()
        self._child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(_HERE)},
            start_new_session=True,
        )

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Send an order and wait for its answer. Raises ProgramError."""
        with self._lock:
            assert self._child.stdin is not None
            assert self._child.stdout is not None
            try:
                self._child.stdin.write(json.dumps(order) + "\n")
                self._child.stdin.flush()
                line = self._child.stdout.readline()
            except OSError as error:
                raise ProgramError(f"{self.module}: {error}") from error
        if not line:
            raise ProgramError(f"{self.module} ended with status {self._child.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ProgramError(f"{self.module}: {answer['error']}")
        return answer

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()


class Listener(Program):
    """Listens in pods and hosts."""

    def __init__(self) -> None:
        super().__init__("packets.listening")

    def add(self, name: str, namespace: str, ports: Mapping[Protocol, Sequence[int]]) -> None:
        """Listen on these ports in a network namespace, and answer with this name."""
        self.ask({"add": name, "namespace": namespace, "ports": {k: list(v) for k, v in ports.items()}})

    def remove(self, name: str) -> None:
        self.ask({"remove": name})


Attempt = tuple[str, str, str, int, str]
"""Namespace path, protocol, address, port, and the name with which the listener should answer."""


class Prober(Program):
    """Tries connections."""

    def __init__(self) -> None:
        super().__init__("packets.probing")

    def probe(self, attempts: Sequence[Attempt], timeout: float) -> list[tuple[Outcome, float]]:
        """The outcome of each, and the second of `time.monotonic` at which it was known."""
        answers = self.ask({"attempts": attempts, "timeout": timeout})["answers"]
        return [(Outcome(outcome), at) for outcome, at in answers]

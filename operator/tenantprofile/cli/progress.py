"""A line on standard error for what takes over two seconds; only on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

PATIENCE: Final = 2.0
"""Seconds after which a person wants to know that something happens."""
_WIDTH: Final = 24


@contextmanager
def working(label: str, total: int = 0) -> Iterator[Callable[[], None]]:
    """Show what is being done, and how much of `total` is; call what is returned for each part.

    Nothing is shown before PATIENCE is over, nor to a file or a pipe.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    done = 0
    finished = threading.Event()
    begun = time.monotonic()

    def step() -> None:
        nonlocal done
        done += 1

    def show() -> None:
        if finished.wait(PATIENCE):
            return
        while True:
            click.echo(f"\r{line(label, done, total, time.monotonic() - begun)}\x1b[K", err=True, nl=False)
            if finished.wait(0.2):
                click.echo("\r\x1b[K", err=True, nl=False)
                return

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield step
    finally:
        finished.set()
        thread.join()


def line(label: str, done: int, total: int, seconds: float) -> str:
    """What is shown: a bar where the end is known, the time where it is not."""
    if not total:
        return f"{label} … {seconds:.0f} s"
    filled = _WIDTH * done // total
    return f"{label} [{'#' * filled}{'-' * (_WIDTH - filled)}] {done}/{total}"

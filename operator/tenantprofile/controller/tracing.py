"""What a trace is told: the event, the passes over its namespace, renderings and requests. This one tells nobody.

`otel` has the one that sends traces; it is imported only where `tenantprofile run --tracing` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

_NOTHING: Final[AbstractContextManager[None]] = nullcontext()


def _nowhere(_namespace: str) -> None:
    pass


_NOBODY: Final[AbstractContextManager[Callable[[str], None]]] = nullcontext(_nowhere)


class TracingError(Exception):
    """The environment asks for traces in a way that this operator does not have."""


class Tracing:
    """Traces nothing. Every method returns at once."""

    standby = False
    """While another operator leads: what is seen is most likely its to deal with."""

    def seen(self, namespace: str, what: str) -> None:
        """A namespace is to be looked at: `new` for one that was created or labelled, `drift` for a changed policy."""

    def changed(self, profile: str) -> None:
        """A profile was created, changed or deleted, or a template of it."""

    def fan_out(self, profiles: Iterable[str]) -> AbstractContextManager[Callable[[str], None]]:
        """Around telling, by what is yielded, which namespaces the changes of profiles concern."""
        return _NOBODY

    def passing(self, namespace: str) -> AbstractContextManager[None]:
        """Around a pass over a namespace."""
        return _NOTHING

    def passed(self, namespace: str, *, failed: bool) -> None:
        """A pass has ended."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Around a part of a pass."""
        return _NOTHING

    def requested(self, method: str, path: str, code: int, seconds: float) -> None:
        """A request has ended; code 0 for one without an answer."""

    def took_over(self) -> None:
        """This operator leads from now on."""

    async def stop(self) -> None:
        """Send what is left, within a few seconds."""

"""What `tenantprofile doctor` says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong", "unknown"]
"""A note is something to know, and no fault of the installation."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was looked at: how it stands and what was seen."""

    what: str
    state: State
    seen: str

    def as_data(self) -> dict[str, str]:
        return {"what": self.what, "state": self.state, "seen": self.seen}

"""What comes of one pass over one namespace, as it is found out."""

from __future__ import annotations

from dataclasses import dataclass, field

from tenantprofile.cluster.api import ApiError
from tenantprofile.planning.status import Problem


@dataclass(slots=True)
class Result:
    """One pass over one namespace: what is ready and what is wrong, by profile, and what is to follow."""

    namespace: str
    ready: dict[str, int] = field(default_factory=dict)
    created: dict[str, int] = field(default_factory=dict)
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    incomplete: set[str] = field(default_factory=set)
    """Profiles of which not everything wanted stands, so that nothing of theirs may be removed."""
    going: bool = False
    """The namespace is being deleted: nothing is left to do."""
    retry: bool = False
    """Something failed: try again, with backoff, after `at_least` seconds."""
    at_least: float = 0.0
    causes: set[str] = field(default_factory=set)
    """Why it failed, in words that are equal for equal causes: the first success elsewhere retries these."""
    wrote: bool = False
    """At least one write succeeded."""
    look_again: float | None = None
    """Seconds after which the namespace is looked at again without anything having failed."""

    def hold(self, profile: str) -> None:
        """One more of the profile's policies is as desired."""
        self.ready[profile] = self.ready.get(profile, 0) + 1

    def tell(self, profile: str, policy: str, reason: str, message: str, *, minor: bool = True) -> None:
        """Something that a person should know, about a policy that holds all the same."""
        problem = Problem(self.namespace, policy, reason, message, minor)
        self.problems.setdefault(profile, []).append(problem)

    def problem(self, profile: str, policy: str, reason: str, message: str, *, minor: bool = True) -> None:
        """A policy does not hold."""
        self.incomplete.add(profile)
        self.tell(profile, policy, reason, message, minor=minor)

    def again(self, seconds: float) -> None:
        """Look at the namespace again, at the latest after some seconds."""
        self.look_again = seconds if self.look_again is None else min(seconds, self.look_again)

    def stale(self, profile: str) -> None:
        """What was looked at has changed meanwhile: look again soon."""
        self.incomplete.add(profile)
        self.retry = True

    def failed(self, profile: str, policy: str, error: ApiError, *, minor: bool = True) -> None:
        """The API server refused, or could not be reached."""
        if error.namespace_is_going:
            self.going = True
            return
        self.retry = True
        self.at_least = max(self.at_least, error.retry_after or 0.0)
        self.causes.add(f"{error.status} {error.reason}")
        self.problem(
            profile, policy, "QuotaExceeded" if error.is_quota else "ApplyFailed", str(error), minor=minor
        )

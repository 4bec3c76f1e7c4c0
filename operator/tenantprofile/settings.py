"""Every timing and limit of the operator, with its unit and reason. Flags of `tenantprofile run` override a few.

Those of `cluster/transport.py` and `cluster/credentials.py`, which concern connections alone, are documented there.
"""

from __future__ import annotations

from typing import Final

# --- requests ---

READ_DEADLINE: Final = 60.0
"""Seconds for a read, a page of a list included: the API server's own limit (--request-timeout)."""
WRITE_DEADLINE: Final = 35.0
"""Seconds for a write: an API server waits up to 30 s for one admission webhook."""
CONTROL_DEADLINE: Final = 5.0
"""Seconds for a request that keeps the lease: half of RENEW_DEADLINE, so that there is time for a second one."""
SLOW_AFTER: Final = 0.5
"""Seconds (or ten times the usual, if that is more) after which a write gives up its slot: it moves to one of
SLOW_SLOTS, or is cut off where none is free. A healthy API server answers within 0.05 s under full load."""
SLOW_SLOTS: Final = 6
"""Writes that may hang at a time: few of the seats that the operator has in the API server."""
SLOW_FOR: Final = 30.0
"""Seconds in which a namespace whose last write was slow uses only SLOW_SLOTS: then one ordinary attempt."""
WAY_GIVEN: Final = 1.0
"""Seconds after an urgent write in which a fan-out still keeps back: where one namespace is new, more often are."""
MISSING_NAMESPACE_WAIT: Final = 0.05
"""Seconds that an API server holds a create in a namespace of which its own cache has not heard yet (admission
plugin NamespaceLifecycle, missingNamespaceWait)."""
HEDGES: Final = 10
"""Creates sent twice at a time: two new namespaces' worth, and nothing that an API server notices."""
LONGEST_PAUSE: Final = 60.0
"""Seconds; a longer Retry-After is cut to this, so that a wrong header cannot stop the operator."""
MANY_HELD: Final = 3
"""Namespaces that have been told to wait, for other reasons than a webhook, from which on all writes wait."""

# --- lists and watches ---

PAGE: Final = 500
"""Objects in a page of a list, as client-go's reflector asks for; fewer where a page would be too large."""
SILENCE: Final = 90.0
"""Seconds without a byte after which a watch counts as broken: bookmarks come about once a minute."""
WATCH_TIMEOUT: Final = 290
"""Seconds after which the API server ends a watch; below the idle limits of most load balancers."""
WATCH_PAUSES: Final = (0.2, 10.0)
"""Seconds between attempts to list or watch, with jitter: the shortest, doubled up to the longest."""
SHORT_WATCH: Final = 1.0
"""Seconds; a watch that ends sooner, with nothing in it, counts as a failure: client-go's "very short watch"."""
NOT_SERVED_PAUSE: Final = 1.5
"""Seconds between attempts to list a kind that is not served: CRDs come back at any time."""
VERSION_CHECK: Final = 20.0
"""Seconds between two looks at the cluster's resource version beside an open watch, to notice a restored etcd."""
UNHEARD_AFTER: Final = 5.0
"""Seconds after a resync in which a watch may still bring what the resync has found."""
YIELD: Final = 0.005
"""Seconds of uninterrupted work after which the event loop gets its turn: a new namespace takes about as long."""

# --- one object ---

MAX_LINE: Final = 12_000_000
"""Bytes of one watch event: see MAX_ANSWER of `cluster.transport`."""
MAX_VALUES: Final = 50_000
"""Values in a profile or template: reading more would hold up everything else for tenths of a second."""
MAX_NESTING: Final = 100
"""Levels of nesting in a custom resource: schemas and parameters of real templates have fewer than 20. Python's
own recursion limit is 1,000."""

# --- the lease ---

LEASE_DURATION: Final = 15.0
RENEW_DEADLINE: Final = 10.0
RETRY_PERIOD: Final = 2.0
"""Seconds; the defaults of client-go's leader election."""

GAP: Final = LEASE_DURATION + RETRY_PERIOD
"""Seconds that nobody leads at most, from the last renewal to the takeover by a standby."""
LEASE_UNREACHABLE: Final = 20.0
"""Seconds without an answer about the lease after which readiness fails: longer than an API server's restart."""

# --- the queue ---

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 120.0
"""Seconds; the bounds of a failing key's exponential back-off."""
BUSY_BURST: Final = 20
BUSY_RATE: Final = 1.0
"""Times at once, and per second after that, that one key is worked on as urgent: tenants' changes beyond that wait,
so that one namespace whose facts change all the time costs the others nothing."""
WAKE_PAUSE: Final = 5.0
"""Seconds between two times that the success of one key wakes others that had failed for the same cause."""
WOKEN_AT_ONCE: Final = 200
"""Keys per second that are tried again when the cause of their failure seems to have ended."""

# --- Kopf ---

KOPF_PAUSE: Final = 2.0
"""Seconds before Kopf is started again after it ended by itself."""
KOPF_BACKOFFS: Final = (0.1, 0.2, 0.5, *(1.0,) * 30)
"""Seconds between its attempts to reach the API server; when they are used up, Kopf ends and is started again."""

# --- the ledger ---

LEDGER_PAUSE: Final = 1.0
"""Seconds before a ledger that could not be read is read again."""
LAST_WRITES: Final = 3.0
"""Seconds for writing the ledger when the operator ends: a pod has 30 s, and others wait for the lease."""

# --- comparing and health ---

COMPARISON_RETRY: Final = 5.0
"""Seconds after which a comparison with the whole cluster that failed is tried again."""
STALE: Final = 300.0
"""Seconds without a sign of life on a watch; a bookmark comes about once a minute."""
STUCK: Final = 120.0
"""Seconds that an urgent namespace may wait for its first attempt."""
BLIND: Final = 10.0
"""Seconds that an input may be blind before readiness fails: a restart of the API server takes less."""

KIND_PAUSE: Final = 2.0
"""Seconds before the CRD of profiles, when it could not be read, is read again."""

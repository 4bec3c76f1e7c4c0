"""TenantProfile: network isolation for every tenant namespace, declared once and kept.

How a namespace event travels, and the module for each step, in this order:

    cluster.transport      requests and streams on the wire
    cluster.api            what is asked of the API server: decoding, deadlines, who waits for whom
    cluster.informer       the list and the watch by which each kind is followed
    controller.handlers    the Kopf handlers through which profiles and templates go
    controller.controller  which namespaces an event concerns
    controller.queue       one key per namespace, deduplicated, two priorities
    planning.desired       what the namespace should hold (pure: profiles, templates, namespace facts)
    planning.plan          what has to be done about it (pure: desired against observed)
    controller.reconcile   carries it out, in order; `apply` makes the single writes
    controller.ledger      which policies the operator has written, kept where tenants cannot write
    planning.status        the status of each profile (pure); `controller.status_writer` writes it

Each module imports only what comes before it in the layering; the contract is in pyproject.toml
and is checked by import-linter.
"""

__version__ = "0.1.0"

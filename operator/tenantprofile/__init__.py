"""TenantProfile: network isolation for every tenant namespace, declared once and kept.

How a namespace event travels, and the module for each step, in this order:

    cluster.watching       the list and the watch by which namespaces and policies are followed
    controller.handlers    the doors by which Kopf brings profiles and templates
    controller.controller  which namespaces an event concerns
    controller.queue       one key per namespace, deduplicated, two priorities
    planning.desired       what the namespace should hold (pure: profiles, templates, namespace facts)
    planning.plan          what has to be done about it (pure: desired against observed)
    controller.reconcile   does it, in order; `apply` makes the single writes
    planning.status        the status of each profile (pure); `board` publishes it

Each module imports only what comes before it in the layering; the contract is in pyproject.toml
and is checked by import-linter.
"""

__version__ = "0.1.0"

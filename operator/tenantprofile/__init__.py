"""TenantProfile: network isolation for every tenant namespace, declared once and kept.

How a namespace event travels, and the module for each step, in this order:

    controller.handlers    the door: kopf calls it, it translates the event into one call
    controller.queue       one key per namespace, deduplicated, two priorities
    desired                what the namespace should hold (pure: profiles, templates, namespace facts)
    difference             what has to be done about it (pure: desired against observed)
    controller.reconcile   does it: bounded writes, responses into the cache
    controller.status      tells how it stands, once per profile

Each module imports only what comes before it in the layering; the contract is in pyproject.toml
and is checked by import-linter.
"""

__version__ = "0.1.0"

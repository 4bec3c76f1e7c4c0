"""Assertions: what must be allowed and what must not, in YAML, checked by the connectivity engine (pure).

How an assertion is decided, and the module for each step:

    form           YAML becomes values; every complaint names the field
    ends           who is meant, among the objects of a world
    check          every pair at once, by groups of pods that no policy can tell apart
    hypothetical   without objects: pods and namespaces that a profile's policies can tell apart
    profile        the assertions of a TenantProfile, checked before anything of it is applied
"""

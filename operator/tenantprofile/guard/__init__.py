"""The guard: admission policies of the API server that keep tenants from undoing what profiles declare.

manifests      the policies and bindings that come with this package, with an installation's values put in
inspection     how what is installed in a cluster compares with them
probes         requests that the guard must refuse, or must let through, and how an answer to one is read
"""

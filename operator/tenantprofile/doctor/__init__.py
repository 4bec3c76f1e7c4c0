"""`tenantprofile doctor`: looks at a cluster, and on request finds out whether policies are enforced in it.

connection     the operator's client, with the few calls that only this command makes
condition      what can be read without changing anything: versions, CRDs, operator, lease, rights
rights         what somebody may do, asked of the API server before it is tried
canary         a namespace with two pods: made, read, and removed whatever happens
enforcement    the checks of `tenantprofile.enforcement` in a canary, one after the other
"""

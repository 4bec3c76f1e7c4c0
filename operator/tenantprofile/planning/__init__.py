"""What a namespace should hold, what it holds, and what follows from the difference (pure).

profile    a TenantProfile as a value
observed   what is kept of a policy in the cluster
desired    what the profiles of a namespace ask for
plan       what has to be done: desired against observed
drift      what somebody else changed, in words
status     the status of a profile, made from the outcomes in its namespaces
"""

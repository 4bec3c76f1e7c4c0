"""What a set of NetworkPolicies allows: the one engine behind lint, tests, explanation and coverage.

How a question is answered, and the module for each step:

    intervals, ports, addresses    exact sets, the arithmetic
    settings                       where network plugins differ
    manifests, workloads, services, policies, world
                                   Kubernetes manifests become values
    verdict                        one connection, and the rule that decides it
    reach, allowances, classes     pods that no policy can tell apart
    flows, connections             every connection, grouped
    difference, coverage           what changed in meaning; who is isolated

Pure: no client, no clock, no logger.
"""

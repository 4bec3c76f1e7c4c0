"""Does the cluster's network plugin do what policies say? The questions, and how answers are judged.

Pure: what is done in a cluster is in `tenantprofile.doctor`, what runs in the pods in
`tenantprofile.canary`. In the order in which it comes into play:

    objects      the namespace and the two pods of the canary
    attempts     the connections that the client tries, round after round, and the line it writes of each
    plan         the checks: which policies, and what has to be open under them
    judgement    from what was seen to a verdict for each check, protocol and address family
    report       the verdicts as rows and as data
"""

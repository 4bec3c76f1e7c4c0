"""Real packets: NetworkPolicies enforced between network namespaces of this machine.

What it is made of, in the order in which it comes into play:

    requirements              whether this machine can do it, and if not, why
    assets                    find or build the enforcement engine (Go, `dev/enforcement`)
    netns, enter, wiring      network namespaces and the links between them
    api                       Node, Pod and other objects in the API server
    flows                     what is asked of the wire, and what it answers
    listening, probing        the two programs that do it; `programs` talks to them
    barrier                   when the engine has seen everything written so far
    world                     all of it together
    oracle                    the same questions put to `tenantprofile.connectivity`
    kubelet                   pods that somebody else creates, run as processes
    observer                  when which policy was in the API server
    deviations                where the engine is known to differ from the API

Nothing here has a name outside this process: the network namespaces are known only by their file
descriptors, so the kernel removes them, with every link, rule and set in them, however it ends.
"""

"""How fast the operator protects and what it costs, beside the raw floor of the same run.

    python -m benchmarks --sizes 100,1000

A real control plane, the operator as a process of its own under its own ServiceAccount, and beside each
figure the same writes sent by a bare client with as many connections. Both are timed by one instrument, a
watcher in a third process: what counts is when the API server showed something, not who claims what. On
shared machines absolute figures vary from run to run by half; ratios within one run do not.

The way through the package: `content` is what the cluster holds, `wire` the bare client, `watcher` and
`record` the instrument, `usage` what a process costs, `stage` a cluster with all of it set up; then one
module per question (`adoption`, `rollout`, `drift`, `protection`, `steady`); `figures` names the results
and their goals, `report` and `plot` show them. `connectivity` is about another part of the product and
stands alone.
"""

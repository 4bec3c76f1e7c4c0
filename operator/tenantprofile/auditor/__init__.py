"""The continuous audit: a process beside the operator that only reads.

metrics   what Prometheus asks for
pages     the report and the picture of a round
server    HTTP: probes, metrics, pages
process   informers, rounds, and their end
"""

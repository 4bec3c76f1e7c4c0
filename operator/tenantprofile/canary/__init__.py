"""The two programs that run in the pods of a canary; nothing but Python's own library.

    listen    the server: answers on every port, with a word that only this run knows
    probe     the client: tries every port, over and over, and writes a line for each round

They are told everything by their arguments, ask nothing of the cluster, and end on SIGTERM or with
their pod.
"""

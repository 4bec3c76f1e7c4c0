"""Files and cluster dumps as objects, with the line of every field (pure).

documents  YAML and JSON as kubectl reads them, with positions
objects    Kubernetes objects, and where each was read
"""

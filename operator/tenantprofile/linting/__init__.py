"""Lint: every rule held against every policy, profile and template of an input (pure).

The way of the objects, and the module for each step:

    reading        objects become policies, pods, profiles and templates; what is none is a finding
    profiles, templates
                   profiles are rendered, each policy traced back to its entry; templates are compiled
    containment, together, cluster
                   policies beside the others of their namespace, and over the pods that are there
    waivers        findings that somebody waived, with a reason and until a date
    judge          all of it, in one call
    text, data, sarif
                   what a person, a program or a code host reads

The rules of a single spec are those of `policy`, which also guard rendering. `catalogue` lists all;
`placed` has the words in which a finding is told.
"""

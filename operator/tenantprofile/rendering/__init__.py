"""From a template, parameters and the facts of a namespace to one NetworkPolicySpec; pure.

In the order of the way: `templates` (reads them), `parameters` (judges what is given to them),
`language` and `environment` (the bounded Jinja that they are written in), `placeholders` (why a
value can never become YAML), `render` (all of it, and the guard at the end).
"""

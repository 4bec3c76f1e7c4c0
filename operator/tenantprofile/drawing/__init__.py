"""Pictures of what policies allow: from a connection map to SVG, DOT, Mermaid and an HTML page.

How a picture comes about, and the module for each step:

    ranges         sets of addresses, as a person calls them
    topology       workloads that are alike become one group; who reaches whom, governed by a policy or not
    reasons        which rule on which side lets a flow through
    view           what of it is drawn: single groups or whole namespaces, with or without ungoverned flows
    layout         where it goes: layers, columns and boxes, the same for the same input
    paths          how lines run between boxes, and where their labels fit
    svg, dot, mermaid, page
                   one module for each format; page/ holds the style and the script of the HTML page

Pure and deterministic: the same objects give the same bytes.
"""

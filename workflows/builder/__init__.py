"""From a workflow's description to its two files: nodes and links, layout, canvas and API form."""

"""Tables that others published, reproduced: one module a paper, each with ``rows()``."""

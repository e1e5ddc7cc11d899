"""Westward: one network of many independent compute sites.

See docs/architecture.md for the road every job takes.
"""

__version__ = "0.1.0"

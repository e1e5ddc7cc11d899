"""Deterministic fault simulation: the shipped server and agents, in a world that fails.

One seed draws a world (``scenario``), plays it under a virtual clock (``loop``), with a network, a
disk, engines and processes that fail (``net``, ``disk``, ``site``, ``world``), and looks after every
commit at what must never happen (``checkers``, ``money``). Same seed, same trace. See
docs/decisions/0040 and docs/fault-simulation.md.
"""

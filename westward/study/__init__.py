"""What-if studies: workloads × policies × overrides × seeds → one tidy table, plots, a report.

A study is a file (``docs/howto/studies.md``). Everything here is simulation: the cells are runs of
``simulate()``, which drives the live decision code on a virtual clock.
"""

"""The vocabulary: jobs, networks, plans, money, time, reasons.

Frozen types only. Imports nothing else of Westward's and neither clock, randomness nor I/O.
"""

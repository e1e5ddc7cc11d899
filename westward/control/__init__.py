"""The life of a job: a pure state machine over jobs, runs and leases.

``machine.handle(record, event, now_ms)`` is the only place where a job changes state. The live
server and the fault simulator drive the same function; neither clock, randomness nor I/O is in it.
"""

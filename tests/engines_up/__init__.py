"""Starts the real engines that the slow suites run against, on this machine's loopback alone."""
"""Real engines started on this machine for tests, on loopback, each by its own process ids."""

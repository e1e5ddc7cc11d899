"""Starts the real engines that the slow suites run against, on this machine's loopback alone."""

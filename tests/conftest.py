"""For all tests."""

import contextlib
import signal

# A shell ignores SIGINT for what it starts in the background, and children inherit that: tests that
# press Ctrl-C would fail there and nowhere else. (ValueError: not in the main thread.)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""The control service: HTTP API, plan loop, lease loop. ``create_app`` in ``app`` makes it."""

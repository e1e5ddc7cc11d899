"""Tests against engines that take minutes to start: left to their own make targets, which set
WESTWARD_TEST_ENGINES (``make test-ray``, ``make test-k8s``)."""

from __future__ import annotations

import os

CHOSEN = os.environ.get("WESTWARD_TEST_ENGINES", "").split(",")
collect_ignore = [f"test_{name}.py" for name in ("ray", "kubernetes") if name not in CHOSEN]

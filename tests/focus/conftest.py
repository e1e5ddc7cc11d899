"""Only by ``make test-focus``: the FinOps validator is no part of the usual environment."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("WESTWARD_TEST_FOCUS") else ["test_validator.py"]

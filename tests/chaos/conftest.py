"""The partition needs root and network namespaces, and takes a minute: ``make test-chaos``."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("WESTWARD_TEST_CHAOS") else ["test_partition.py"]

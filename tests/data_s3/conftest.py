"""Only by ``make test-data``: s3fs and the S3 server are no part of the usual environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))
collect_ignore = [] if os.environ.get("WESTWARD_TEST_DATA") == "s3" else ["test_s3.py"]

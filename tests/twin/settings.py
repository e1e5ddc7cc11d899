"""One Hypothesis profile: same cases each run, more with WESTWARD_EXAMPLES (then random)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = int(os.environ.get("WESTWARD_EXAMPLES", "150"))
EXACT = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="WESTWARD_EXAMPLES" not in os.environ,
    database=None,
    phases=(Phase.generate,)
    if "WESTWARD_NO_SHRINK" in os.environ
    else (Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

"""Run AccaSim (PyPI, MIT) with EASY on one SWF log; prints one JSON line. Its own environment.

AccaSim 1.1.3 does not import on Python ≥ 3.10 (``collections.Mapping`` and friends moved), so the
old names are put back first. Its node is one machine of all processors, without "mem": with mem in
the system file and none in the log its EASY divides by zero. Usage: rival_accasim.py LOG PROCS OUT
"""

from __future__ import annotations

import collections
import collections.abc
import json
import resource
import sys
import time
from pathlib import Path

for name in ("Mapping", "MutableMapping", "Sequence", "Iterable", "Callable", "Hashable"):
    setattr(collections, name, getattr(collections.abc, name))

from accasim.base.allocator_class import FirstFit  # noqa: E402
from accasim.base.scheduler_class import EASYBackfilling  # noqa: E402
from accasim.base.simulator_class import Simulator  # noqa: E402


def main(log: str, processors: int, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    config = out / "system.json"
    config.write_text(
        json.dumps(
            {
                "system_name": "one node",
                "start_time": 0,
                "equivalence": {"processor": {"core": 1}},
                "groups": {"g0": {"core": processors}},
                "resources": {"g0": 1},
            }
        )
    )
    cpu = time.process_time()
    wall = time.perf_counter()
    simulator = Simulator(
        log,
        str(config),
        EASYBackfilling(FirstFit()),
        scheduling_output=True,
        statistics_output=False,
        show_statistics=False,
        RESULTS_FOLDER_PATH=str(out),
    )
    simulator.start_simulation()
    print(
        json.dumps(
            {
                "cpu_s": time.process_time() - cpu,
                "wall_s": time.perf_counter() - wall,
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

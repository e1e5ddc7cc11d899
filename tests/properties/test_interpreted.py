"""The kernels compiled and the same source interpreted give the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from pydantic import TypeAdapter

from tests.twin.cases import Case, cases
from westward.jit import compiled
from westward.model.plan import Plan
from westward.placement import plan

ROOT = Path(__file__).resolve().parents[2]
COUNT = 40

OTHER_PROCESS = """
import sys
from pathlib import Path
from westward.jit import compiled, interpret
interpret()
from pydantic import TypeAdapter
from tests.twin.cases import Case
from westward.model.plan import Plan
from westward.placement import plan
folder = Path(sys.argv[1])
assert not compiled()
for case in TypeAdapter(list[Case]).validate_json((folder / "cases.json").read_bytes()):
    answer = plan(case.snapshot, list(case.jobs), case.policy, case.now)
    print(TypeAdapter(Plan).dump_json(answer).decode())
assert "numba" not in sys.modules
"""


def test_compiled_equals_interpreted_byte_for_byte(tmp_path: Path) -> None:
    assert compiled()
    corpus: list[Case] = []

    @settings(
        max_examples=COUNT, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases())
    def collect(case: Case) -> None:
        corpus.append(case)

    collect()
    (tmp_path / "cases.json").write_bytes(TypeAdapter(list[Case]).dump_json(corpus))
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mine = [
        TypeAdapter(Plan).dump_json(plan(c.snapshot, list(c.jobs), c.policy, c.now)).decode()
        for c in corpus
    ]
    assert len(mine) >= COUNT // 2
    assert done.stdout.splitlines() == mine

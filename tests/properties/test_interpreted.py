"""The kernels compiled and the same source interpreted give the same bytes, in plain values."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from tests.twin.cases import case
from tests.twin.plain import foreign
from tests.twin.played import decide
from westward.jit import compiled
from westward.model.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
COUNT = 250

OTHER_PROCESS = """
import sys
from dataclasses import replace
from westward.jit import compiled, interpret
interpret()
from pydantic import TypeAdapter
from tests.twin.cases import case
from tests.twin.plain import foreign
from tests.twin.played import decide
from westward.model.plan import Plan
assert not compiled()
for seed in range(int(sys.argv[1])):
    answer = decide(case(seed))
    strange = list(foreign(answer))
    assert not strange, (seed, strange)
    answer = replace(answer, placements=tuple(answer.placements))
    print(TypeAdapter(Plan).dump_json(answer).decode())
assert "numba" not in sys.modules
"""


def test_compiled_equals_interpreted_byte_for_byte() -> None:
    assert compiled()
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, str(COUNT)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = done.stdout.splitlines()
    assert len(theirs) == COUNT
    write = TypeAdapter(Plan).dump_json
    for seed in range(COUNT):
        answer = decide(case(seed))
        assert not list(foreign(answer)), seed
        answer = replace(answer, placements=tuple(answer.placements))
        assert write(answer).decode() == theirs[seed], seed

"""The conformance kit on the local engine: what it says of a sound one, and of broken ones.

``make test-site`` runs all of its checks (two minutes); here those of a lost agent and of the
ordinary life.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

DEFECTS = '''
"""Loaded by the interpreter at its start: the agent of the kit gets a local engine with faults."""
import sys

if "westward.agent" in sys.orig_argv:
    from dataclasses import replace
    from westward.agent.engines.local import LocalEngine as Engine

    read_log, readings, look = Engine.read_log, Engine.readings, Engine.look

    def loses_the_last_byte(self, *args):
        return read_log(self, *args)[:-1]

    def counts_twice(self, *args):
        found = readings(self, *args)
        return tuple(replace(one, device_milli_ms=2 * one.device_milli_ms) for one in found)

    def calls_everything_a_success(self, run_id):
        view = look(self, run_id)
        if view.result is None:
            return view
        result = replace(view.result, outcome="succeeded", exit_code=0)
        return replace(view, result=result)

    Engine.read_log, Engine.readings = loses_the_last_byte, counts_twice
    Engine.look = calls_everything_a_success
'''


def kit(tmp_path: Path, *arguments: str, code: int, path: str = "") -> dict[str, Any]:
    """The kit's own document; checks by name."""
    known = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in (path, known) if p)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "westward.cli.main",
            "site",
            "test",
            "--json",
            *arguments,
            "--scratch",
            str(tmp_path / "scratch"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
        check=False,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    assert not list((tmp_path / "scratch").iterdir()), "it cleans up after itself"
    return {one["check"]: one for one in json.loads(done.stdout)["checks"]}


def test_a_sound_engine_passes(tmp_path: Path) -> None:
    wanted = ("start", "logs", "exit code", "meter", "cancel", "lost agent")
    only = [word for name in wanted for word in ("--only", name)]
    checks = kit(tmp_path, *only, "--lease", "5", code=0)
    assert list(checks) == ["join", *wanted]
    assert {one["result"] for one in checks.values()} == {"passed"}, checks


def test_a_broken_engine_does_not(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEFECTS)
    wanted = ("start", "logs", "exit code", "meter")
    only = [word for name in wanted for word in ("--only", name)]
    checks = kit(tmp_path, *only, code=1, path=str(tmp_path))
    results = {name: one["result"] for name, one in checks.items()}
    assert results == {
        "join": "passed", "start": "passed", "logs": "failed", "exit code": "failed",
        "meter": "failed",
    }  # fmt: skip
    assert "succeeded, not failed" in checks["exit code"]["said"]
    assert "device-seconds billed" in checks["meter"]["said"]

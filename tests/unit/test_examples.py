"""The example jobs are real work: run here in small, each in its own folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(
    folder: Path, script: str, *arguments: str, **envs: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **envs},
        capture_output=True,
        text=True,
        check=False,
    )


def test_training_reaches_its_target_and_resumes(tmp_path: Path) -> None:
    first = run(tmp_path, "train_digits.py", "--epochs", "3", "--checkpoint", "c.joblib")
    assert first.returncode == 0, first.stderr
    again = run(tmp_path, "train_digits.py", "--epochs", "4", "--checkpoint", "c.joblib")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("resuming after epoch 3\nepoch   4")
    metrics = json.loads((tmp_path / "digits-metrics.json").read_text(encoding="utf-8"))
    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2, 3, 4]
    assert metrics["accuracy"] >= 0.9
    assert (tmp_path / "digits-model.joblib").stat().st_size > 10_000


def test_training_below_its_target_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "train_digits.py", "--epochs", "1", "--target", "1.01").returncode == 1


def test_the_ranks_of_the_array_share_the_files_without_overlap(tmp_path: Path) -> None:
    counted = []
    for rank in (0, 59):
        envs = {"SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_NODES": "60"}
        done = run(tmp_path, "word_array.py", **envs)
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / f"words-{rank}.json").read_text(encoding="utf-8"))
        assert (result["rank"], result["ranks"]) == (rank, 60)
        assert result["most_frequent"][0][0] == "the"
        counted.append(result["words"])
    assert counted[0] != counted[1]


def test_the_search_finds_a_good_setting(tmp_path: Path) -> None:
    done = run(tmp_path, "flexible_batch.py", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert len(report["settings"]) == 24
    assert report["best"]["accuracy"] == max(one["accuracy"] for one in report["settings"])

"""schemathesis over the whole OpenAPI document of a real server, as every caller there is.

Its checks hold every answer to the document (status, content type, schema, headers) and to each
other; beside them: no 5xx, no answer that never comes, no traceback in an answer or in the server's
log, and the server lives. Left out: ``negative_data_rejection`` (JSON numbers written as texts are
taken on purpose), ``positive_data_acceptance`` (what a task's text says is not in the document) and
``ignored_auth`` (tests/golden/access.csv holds who may what, for every caller).

The last pass may revoke tokens and roles; the ones before it leave that out, so that callers stay.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.world import Served, served
from tests.unit.people_world import CALLERS

HOME = Path(os.environ.get("WESTWARD_TEST_HOSTILE", ".venv-fuzz"))
EXAMPLES = int(os.environ.get("WESTWARD_HOSTILE_EXAMPLES", "10"))
NOT_CHECKED = "negative_data_rejection,positive_data_acceptance,ignored_auth"
ANSWER_WITHIN_S = 45
"""The longest hold of a poll is 25 s."""
NOT_READ = "/v1/agent/runs/{run_id}/checkpoint"
"""Its answer holds pairs, which the document says as OpenAPI 3.1 wants it (``prefixItems``) and
schemathesis 4.32 makes a wrong schema of; ``test_api_values`` tries the operation."""
TAKES_RIGHTS = r"(/revoke|/remove|/agent/rotate)$"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as made:
        yield made


def config(folder: Path, known: dict[str, str] | None) -> Path:
    lines = ["[generation]", 'database = "none"']
    if known:
        lines += ["[parameters]", *(f"{name} = {json.dumps(text)}" for name, text in known.items())]
    path = folder / "schemathesis.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(
    server: Served, caller: str, folder: Path, *options: str, known: dict[str, str] | None = None
) -> Counter[str]:
    """Answers by status. Fails on whatever schemathesis finds."""
    folder.mkdir(parents=True, exist_ok=True)
    events = folder / "events.ndjson"
    secret = server.secrets.get(caller)
    shown = ("-H", f"Authorization: Bearer {secret}") if secret else ()
    done = subprocess.run(
        [
            str((HOME / "bin" / "schemathesis").resolve()), "--config-file",
            str(config(folder, known)), "run", f"{server.url}/openapi.json", *shown,
            "--checks", "all", "--exclude-checks", NOT_CHECKED, "--mode", "all",
            "--max-examples", str(EXAMPLES), "--request-timeout", str(ANSWER_WITHIN_S),
            "--continue-on-failure", "--no-shrink", "--seed", "1", "--warnings", "off",
            "--exclude-path", NOT_READ, "--suppress-health-check", "all", "--report", "ndjson",
            "--report-ndjson-path", str(events), *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1_500,
    )  # fmt: skip
    statuses: Counter[str] = Counter()
    for line in events.read_text(encoding="utf-8").splitlines():
        finished = json.loads(line).get("ScenarioFinished")
        told_of = finished["recorder"].get("interactions", {}) if finished else {}
        for one in told_of.values():
            answer = one.get("response")
            assert answer is not None, f"no answer within {ANSWER_WITHIN_S} s: {one['request']}"
            told = base64.b64decode((answer.get("content") or {}).get("$base64", ""))
            assert answer["status_code"] < 500, (one["request"], told[:500])
            assert b"Traceback" not in told, (one["request"], told[:500])
            statuses[str(answer["status_code"])] += 1
    assert done.returncode == 0, f"{caller}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert server.alive()
    assert server.tracebacks() == []
    return statuses


def note(tally: dict[str, int], caller: str, statuses: Counter[str]) -> None:
    """Counts answers in all, by status and by caller."""
    for status, count in statuses.items():
        for name in ("schemathesis", f"schemathesis {status}", f"schemathesis as {caller}"):
            tally[name] = tally.get(name, 0) + count


@pytest.mark.timeout(1_600)
@pytest.mark.parametrize("caller", CALLERS)
def test_every_operation_as(
    server: Served, caller: str, tmp_path: Path, tally: dict[str, int]
) -> None:
    statuses = run(
        server, caller, tmp_path, "--phases", "coverage,fuzzing,stateful",
        "--exclude-path-regex", TAKES_RIGHTS,
    )  # fmt: skip
    assert statuses
    note(tally, caller, statuses)


@pytest.mark.timeout(1_600)
@pytest.mark.parametrize("caller", ["lead", "network-operator", "operator-file", "agent"])
def test_about_things_that_are_there(
    server: Served, caller: str, tmp_path: Path, tally: dict[str, int]
) -> None:
    """With the names of things that exist, so that what lies behind a first look-up is tried."""
    statuses = run(
        server, caller, tmp_path, "--phases", "coverage,fuzzing",
        "--exclude-path-regex", TAKES_RIGHTS, known=server.known,
    )  # fmt: skip
    assert statuses["200"]
    note(tally, caller, statuses)


@pytest.mark.timeout(1_600)
@pytest.mark.parametrize("caller", ["lead", "agent", "network-operator", "operator-file"])
def test_what_takes_rights_comes_last(
    server: Served, caller: str, tmp_path: Path, tally: dict[str, int]
) -> None:
    statuses = run(
        server, caller, tmp_path, "--phases", "coverage,fuzzing,stateful", known=server.known
    )
    assert statuses
    note(tally, caller, statuses)

"""What a hostile job leaves behind, collected by a real agent and told to a real server.

``test_job_files`` tries the readers; here real jobs leave links, pipes, depth, names, holes and
exchanges as outputs and checkpoints, at an agent whose state holds a secret. The agent goes on, every
job comes to its end, the secret is nowhere else, and nobody writes a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.test_sandbox import MODES, MODES_HERE
from tests.live.harness import Live, until
from westward.agent import job_files

pytestmark = pytest.mark.timeout(600)
SITE, OTHER = "harbor", "basin"
SECRET = b"wsc_the-agents-own-secret"
DEEP = 1_000
"""Folders within each other."""
HOLE = "1T"
"""Of a file that holds nothing."""

LEFT = {
    "a link to the agent's secret": ("ln -s $STATE/credential.json leak; echo good > good", True),
    "a link to the agent's folder": ("ln -s $STATE leak; echo good > good", True),
    "a chain of links": ("ln -s b a; ln -s $STATE/credential.json b; echo good > good", True),
    "a link through its open files": ("ln -s /proc/self/fd/0 leak; echo good > good", True),
    "a pipe": ("mkfifo pipe; echo good > good", True),
    "a socket": (
        '"$WESTWARD_PYTHON" -c "import socket; socket.socket(socket.AF_UNIX).bind(\'s\')"; '
        "echo good > good",
        True,
    ),
    "nothing but links": ("ln -s $STATE/credential.json leak; ln -s leak again", False),
    "a link in its place": ("cd ..; rmdir tree; ln -s $STATE tree", False),
    "a deep tree": (
        f"for i in $(seq {DEEP}); do mkdir d; cd d; done; echo deep > bottom",
        False,
    ),
    "a name that is no text": ("echo bad > $'\\xff\\xfe'; echo good > good", False),
    "a name with a control character": ("echo bad > $'a\\nb'; echo good > good", False),
    "a file that is one hole": (f"truncate -s {HOLE} hole; echo good > good", False),
}
"""By kind: what a job does in its output's folder, and whether what is good of it is taken."""


@pytest.fixture(scope="module", params=MODES_HERE)
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp(f"live-{request.param}")
    options = [f"--option={name}={value}" for name, value in MODES[request.param].items()]
    network = Live(folder, agent_options=tuple(options))
    try:
        network.start_server()
        for site in (SITE, OTHER):
            network.start_agent(site)
        network.until_open((SITE, OTHER))
        (network.state(SITE) / "credential.json").write_bytes(SECRET)
        yield network
    finally:
        network.close()
        for site in (SITE, OTHER):  # deeper than pytest's own cleaning goes
            job_files.remove(network.state(site))


def unharmed(live: Live) -> None:
    """The same processes as at the start, no error that nobody expected, no secret where it could
    be fetched from."""
    assert live.server is not None
    assert live.server.poll() is None
    assert all(agent.poll() is None for agent in live.agents.values())
    for name in ("server", SITE, OTHER):
        text = (live.folder / f"{name}.log").read_text(errors="replace")
        for sign in ("Traceback", "traceback", "internal error", "critical"):
            assert sign not in text, f"{name}: {text[max(0, text.index(sign) - 500) :][:3000]}"
    for folder in (live.data, live.state(SITE) / "data", live.state(OTHER)):
        assert_without_secret(folder)


def assert_without_secret(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 2**30:
            assert SECRET not in path.read_bytes(), f"{path} holds the agent's secret"


def task(live: Live, run: str, *labels: str, site: str = SITE) -> str:
    told = "".join(f"    {label}\n" for label in ("westward.duration: 1s", *labels))
    lines = "".join(f"  {line}\n" for line in run.strip().splitlines())
    return (
        f"name: left\nresources:\n  cpus: 1\n  infra: ssh/{site}\n  labels:\n{told}"
        f"envs:\n  STATE: {live.state(SITE)}\n  SHARED: {live.folder}\nrun: |\n{lines}"
    )


def published(live: Live, name: str) -> list[str]:
    """Paths in the data set's newest version; none if there is no such data set."""
    status, answer = live.call("GET", f"/v1/datasets/{name}")
    if status == 404:
        return []
    assert status == 200, answer
    return [one["path"] for one in answer["files"]]


def test_outputs_carry_what_is_theirs_and_nothing_else(live: Live) -> None:
    jobs = {}
    for number, (kind, (script, _)) in enumerate(LEFT.items()):
        job_id = f"job_left-{number}"
        run = f"mkdir $WESTWARD_OUTPUT/tree && cd $WESTWARD_OUTPUT/tree\n{script}\nexit 0"
        live.submit(job_id, task(live, run, f'westward.outputs: "tree=left-{number}"'))
        jobs[kind] = (job_id, f"left-{number}")
    for kind, (job_id, name) in jobs.items():
        job = live.finish(job_id)
        taken = LEFT[kind][1]
        assert job["state"] == ("succeeded" if taken else "failed"), (kind, job)
        assert published(live, name) == (["good"] if taken else []), kind
        if not taken:
            assert "output" in job["ending"], (kind, job["ending"])
    unharmed(live)


UNBRINGABLE = {
    "a folder below a file": ("{x: /etc/passwd, x/y: /etc/passwd}", "cannot be brought to it"),
    "a source with an endless name": (f"{{x: /{'s' * 6_000}}}", "does not exist at this site"),
}
"""By kind: mounts that are well written and that no site can make, and what is said of them."""


def test_mounts_that_cannot_be_made_are_the_jobs_fault(live: Live) -> None:
    """Told with the reason, at once: it is not tried elsewhere as if the site were at fault."""
    for number, (kind, (mounts, said)) in enumerate(UNBRINGABLE.items()):
        job_id = f"job_mounts-{number}"
        live.submit(job_id, task(live, "true") + f"file_mounts: {mounts}\n")
        job = live.finish(job_id)
        assert job["state"] == "failed", (kind, job)
        assert len(job["runs"]) == 1, (kind, job)
        assert said in job["ending"], (kind, job["ending"])
    unharmed(live)


EXCHANGER = """
import os, pathlib, sys, time
shared = pathlib.Path(os.environ["SHARED"]) / "exchange"
secret = os.environ["STATE"] + "/credential.json"
while not (shared / "over").exists():
    for note in shared.glob("*.output"):
        place = note.read_text().strip() + "/tree/x"
        for make in (lambda: os.symlink(secret, place + "."), lambda: open(place + ".", "w").write("mine")):
            try:
                make()
                os.replace(place + ".", place)
            except OSError:
                pass
"""


def test_another_job_exchanges_files_while_they_are_collected(live: Live) -> None:
    """Jobs without a sandbox are one user's: one may reach into the output of another that has
    ended and is being collected."""
    shared = live.folder / "exchange"
    shared.mkdir()
    (shared / "exchanger.py").write_text(EXCHANGER)
    live.submit("job_exchanger", task(live, f'exec "$WESTWARD_PYTHON" {shared}/exchanger.py'))
    until(lambda: live.job("job_exchanger")["state"] == "running", "it exchanges")
    ids = [f"job_raced-{number}" for number in range(8)]
    for job_id in ids:
        run = (
            "mkdir $WESTWARD_OUTPUT/tree && cd $WESTWARD_OUTPUT/tree\n"
            "echo mine > x; for i in $(seq 200); do echo $i > y$i; done\n"
            f"echo $WESTWARD_OUTPUT > {shared}/{job_id}.output || true\nsleep 0.3"
        )
        live.submit(job_id, task(live, run, f'westward.outputs: "tree={job_id[4:]}"'))
    ends = [live.finish(job_id) for job_id in ids]
    (shared / "over").touch()
    live.finish("job_exchanger")
    assert {job["state"] for job in ends} <= {"succeeded", "failed"}, ends
    for job in ends:
        if job["state"] == "failed":
            assert "changed while it was stored" in job["ending"], job["ending"]
    unharmed(live)


SAVES = """
mkdir -p $(dirname $WESTWARD_CHECKPOINT) && cd $(dirname $WESTWARD_CHECKPOINT)
if [ "$WESTWARD_RESUME" = 1 ]; then ls -lR > $SHARED/resumed.$WESTWARD_JOB_ID 2>&1 || true; exit 0; fi
trap 'exit 0' TERM
echo mine > last.json
{script}
echo saved > $WESTWARD_OUTPUT/saved
while true; do sleep 0.1; done
"""
CHECKPOINT = "westward.checkpoint: state/last.json every 1s grace 5s"
SAVED = {
    kind: script.replace("echo good > good", "true").replace("cd ..; rmdir tree; ", "")
    for kind, (script, _) in LEFT.items()
}
"""The same in the folder of a checkpoint."""


def stored(live: Live, job_id: str) -> dict[str, Any]:
    """The job, once it is held and its run is over."""

    def held() -> dict[str, Any] | None:
        job = live.job(job_id)
        assert job["state"] not in ("failed", "refused"), job
        return job if job["state"] == "held" else None

    return until(held, f"{job_id} is held") or {}


def test_checkpoints_carry_what_is_theirs_and_nothing_else(live: Live) -> None:
    """Each is suspended, what it left is handed over as far as it can be, and it goes on."""
    jobs = {}
    for number, (kind, script) in enumerate(SAVED.items()):
        job_id = f"job_saved-{number}"
        live.submit(job_id, task(live, SAVES.format(script=f"({script})"), CHECKPOINT))
        jobs[kind] = job_id
    for kind, job_id in jobs.items():
        until(lambda j=job_id: saved(live, j), f"{kind}: it has saved")
        status, answer = live.call("POST", f"/v1/jobs/{job_id}/suspend", {})
        assert (status, answer["accepted"]) == (200, True), (kind, answer)
    for kind, job_id in jobs.items():
        job = stored(live, job_id)
        assert [run["state"] for run in job["runs"]] == ["preempted"], (kind, job)
        status, answer = live.call("POST", f"/v1/jobs/{job_id}/resume", {})
        assert (status, answer["accepted"]) == (200, True), (kind, answer)
    for kind, job_id in jobs.items():
        job = live.finish(job_id)
        assert job["state"] == "succeeded", (kind, job)
        root = live.state(SITE) / "checkpoints" / job_id
        until(lambda r=root: not r.exists(), f"{kind}: what it saved is removed")
    unharmed(live)


def saved(live: Live, job_id: str) -> bool:
    runs = live.job(job_id)["runs"]
    return bool(runs) and (
        (live.state(SITE) / "runs" / runs[0]["run_id"] / "output" / "saved").exists()
    )


SPOILS = {
    "readings.jsonl": ("not json\\n", '{"sequence": 0}\\n', "[]\\n", "\\377\\376\\n"),
    "started.json": ("[]", "{}", "not json"),
    "exit.json": ("[]", "{}", '{"outcome": "what", "exit_code": "x", "detail": 7}'),
    "deadline.json": ("[]", '{"term_at": "x"}'),
    "order.json": ("[]", "{}", "not json"),
    "rank0.log": (),
}
"""By file of a run's own folder: what a job writes there. None: it becomes a link to the secret."""


def test_a_job_that_spoils_its_runs_notes_harms_only_itself(live: Live) -> None:
    """Without a sandbox it can; in one the folder is not its own. Others go on either way."""
    ids = []
    for name, texts in SPOILS.items():
        for text in texts or ("",):
            job_id = f"job_spoils-{len(ids)}"
            here = f"$STATE/runs/$WESTWARD_RUN_ID/{name}"
            spoil = f"printf '{text}' > {here}" if texts else f"mkfifo {here}. && mv {here}. {here}"
            # its output's folder is the one place that a job in a sandbox shares with us
            told = "touch $WESTWARD_OUTPUT/spoiled"
            live.submit(job_id, task(live, f"{spoil} 2>/dev/null || true\n{told}\nsleep 2"))
            ids.append(job_id)
    runs = live.state(SITE) / "runs"
    until(lambda: list(runs.glob("*/output/spoiled")), "a job has spoiled its notes")
    live.submit("job_beside", task(live, "sleep 1"))
    assert live.finish("job_beside")["state"] == "succeeded"
    for job_id in ids:
        status, _ = live.call("POST", f"/v1/jobs/{job_id}/cancel")
        assert status in (200, 409)
    for job_id in ids:
        job = live.finish(job_id)
        assert job["state"] in ("succeeded", "failed", "cancelled"), job
    assert all(agent.poll() is None for agent in live.agents.values())
    assert os.listdir(live.folder)

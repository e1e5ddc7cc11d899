"""The checks, in order. Each answers a line of what was seen; Failed and Untested carry a reason."""

from __future__ import annotations

import base64
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from westward.cli.client import job_path
from westward.cli.kit.jobs import OUTPUT_LINES, OUTPUT_TEXT, beats, check_lives, lives, task
from westward.cli.kit.scratch import (
    OVER,
    Failed,
    Scratch,
    expect,
    until,
)

METER_RUN_S = 4
METER_SLACK_S = 1.5
"""Starting and ending the processes is metered, or not, as the engine has it."""
FULL_DISK_BYTES = 8 * 2**20
SKEW_S = 86_400
DEATH_SLACK_S = 0.5
SURE_SHARE = 0.4
"""A server that is back within this share of a lease costs no run: it may have been renewed a fifth
of a lease before, and is stopped after four fifths."""


class Untested(Exception):
    """This machine or engine does not allow the check; the text says why."""


Check = Callable[[Scratch], str]


def witness_of(kit: Scratch, name: str) -> Path:
    return kit.folder / f"witness-{name}"


def _submit(kit: Scratch, name: str, script: str, nodes: int = 1, site: str | None = None) -> str:
    return kit.submit(task(name, site or kit.site, script, witness_of(kit, name), nodes))


def _log(kit: Scratch, job_id: str, rank: int = 0) -> bytes:
    """A rank's whole output, once it is complete."""
    data = b""
    while True:
        path = job_path(job_id, "logs")
        answer = kit.client.get(path, offset=len(data), rank=rank, wait_ms=5_000)
        data += base64.b64decode(answer["data_b64"])
        if answer["complete"] and not answer["size"]:
            return data


def join(kit: Scratch) -> str:
    """An invitation, used once; the second use is refused; the offer is in the network."""
    token = kit.invite(kit.site)
    kit.join(kit.site, token)
    try:
        kit.join("other", token, kit.folder / "second-use")
    except Failed as refusal:
        expect("used before" in str(refusal), f"the second use was refused otherwise: {refusal}")
    else:
        raise Failed("the invitation could be used twice")
    kit.start_agent(kit.site)
    offer = kit.client.get(f"/v1/joined/{kit.site}")["offer"]
    names = ", ".join(one["name"] for one in offer["discovered"]) or "nothing"
    return f"the engine discovered: {names}; the invitation is good once"


def start(kit: Scratch) -> str:
    """Submitted, started, succeeded."""
    job_id = _submit(kit, "start", "true")
    job = kit.until_state(job_id, "succeeded")
    run = job["runs"][0]
    expect(len(job["runs"]) == 1, f"it took {len(job['runs'])} runs")
    begun_ms = (run["started_ms"] or run["ended_ms"]) - job["submit_ms"]
    return f"started {begun_ms / 1000:.2f} s after it was submitted"


def logs(kit: Scratch) -> str:
    """Every byte of the output, in order."""
    script = f'for i in $(seq 0 {OUTPUT_LINES - 1}); do echo "line $i of the output, which must come whole"; done'
    job_id = _submit(kit, "logs", script)
    kit.until_state(job_id, "succeeded")
    data = _log(kit, job_id)
    wanted = OUTPUT_TEXT.encode()
    expect(data == wanted, f"{len(data)} bytes came, not the {len(wanted)} that were written")
    return f"{len(wanted)} bytes came whole"


def exit_code(kit: Scratch) -> str:
    """A job that fails is not a success, and its exit code is told."""
    job_id = _submit(kit, "exit-code", "exit 7")
    job = kit.until_state(job_id, "failed")
    expect(job["exit_code"] == 7, f"exit code {job['exit_code']} was told, not 7")
    return "exit 7 was told as failed, 7"


def environment(kit: Scratch) -> str:
    """What a job is told of itself."""
    names = (
        "WESTWARD_JOB_ID", "WESTWARD_RUN_ID", "WESTWARD_TOKEN", "WESTWARD_SITE",
        "WESTWARD_ATTEMPT", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES",
    )  # fmt: skip
    script = "\n".join(f'echo "{name}=${name}"' for name in names)
    job_id = _submit(kit, "environment", script)
    job = kit.until_state(job_id, "succeeded")
    told = dict(line.split("=", 1) for line in _log(kit, job_id).decode().splitlines())
    run = job["runs"][0]
    wanted = (job_id, run["run_id"], str(run["token"]), kit.site, "1", "0", "1")
    for name, value in zip(names, wanted, strict=True):
        expect(told.get(name) == value, f"{name} is {told.get(name)!r}, not {value!r}")
    return f"{len(names)} variables are right"


def gang(kit: Scratch) -> str:
    """Two ranks of one job; the failure of one ends the other."""
    pool = kit.subject.pool
    if (pool.nodes or 0) * (pool.cpus_per_node or 0) < 2:
        raise Untested("the pool holds one cpu")
    job_id = _submit(kit, "gang", 'echo "rank $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES"', 2)
    try:
        kit.until_state(job_id, "succeeded")
    except Failed:
        if "could not start the run" in kit.story(job_id):
            detail = kit.job(job_id)["runs"][-1]["detail"]
            raise Untested(f"the engine refuses gangs: {detail}") from None
        raise
    told = sorted(_log(kit, job_id, rank).decode().strip() for rank in range(2))
    expect(told == ["rank 0 of 2", "rank 1 of 2"], f"the ranks said {told}")
    script = 'if [ "$SKYPILOT_NODE_RANK" = 1 ]; then sleep 1; exit 3; fi; sleep 60'
    begun_s = time.monotonic()
    job = kit.until_state(_submit(kit, "gang-fails", script, 2), "failed")
    expect(time.monotonic() - begun_s < 50, "the other rank was not ended")
    expect(job["exit_code"] == 3, f"exit code {job['exit_code']} was told, not 3")
    return "both ranks ran; one's failure ended the other"


def meter(kit: Scratch) -> str:
    """Device time billed against the time the job itself saw."""
    job_id = _submit(kit, "meter", beats(METER_RUN_S))
    kit.until_state(job_id, "running", "succeeded")
    held_milli = kit.pool(kit.pool_name)["held_milli"]
    kit.until_state(job_id, "succeeded")
    bills = until(lambda: kit.job(job_id)["bills"], "the run is billed")
    (life,) = check_lives(witness_of(kit, "meter"), 1)
    billed_s = bills[0]["device_micros"] / kit.micros_per_device_s
    seen_s = (life.last_s - life.first_s) * held_milli / 1000
    slack_s = METER_SLACK_S * held_milli / 1000
    text = f"{billed_s:.2f} device-seconds billed, {seen_s:.2f} seen by the job"
    expect(-0.1 <= billed_s - seen_s <= slack_s, text)
    return text


def cancel(kit: Scratch) -> str:
    """The job hears of it and ends; nothing of it goes on."""
    script = 'trap \'echo "told" >> "$WITNESS"; exit 0\' TERM\n' + beats(60)
    job_id = _submit(kit, "cancel", script)
    until(lambda: lives(witness_of(kit, "cancel")), "the job runs")
    asked_s = time.monotonic()
    kit.client.post(job_path(job_id, "cancel"))
    kit.until_state(job_id, "cancelled")
    took_s = time.monotonic() - asked_s
    expect("told" in witness_of(kit, "cancel").read_text(), "the job was not sent TERM")
    _nothing_lives(kit, "cancel")
    return f"over {took_s:.2f} s after it was asked for; the job was sent TERM"


def stubborn(kit: Scratch) -> str:
    """A job that does not listen is killed."""
    job_id = _submit(kit, "stubborn", "trap '' TERM\n" + beats(90))
    until(lambda: lives(witness_of(kit, "stubborn")), "the job runs")
    asked_s = time.monotonic()
    kit.client.post(job_path(job_id, "cancel"))
    kit.until_state(job_id, "cancelled", within_s=60)
    _nothing_lives(kit, "stubborn")
    return f"it ignored TERM and was killed after {time.monotonic() - asked_s:.1f} s"


def _nothing_lives(kit: Scratch, name: str) -> None:
    size = witness_of(kit, name).stat().st_size
    time.sleep(1.0)
    expect(witness_of(kit, name).stat().st_size == size, "the job wrote after its end was told")


def agent_back(kit: Scratch) -> str:
    """The agent is killed and is back at once: the run goes on, and is not begun again."""
    job_id = _submit(kit, "agent-back", beats(kit.lease_s * 1.5))
    until(lambda: lives(witness_of(kit, "agent-back")), "the job runs")
    kit.kill(kit.agents[kit.site])
    kit.start_agent(kit.site)
    job = kit.until_state(job_id, "succeeded")
    check_lives(witness_of(kit, "agent-back"), 1)
    expect(len(job["runs"]) == 1, f"it took {len(job['runs'])} runs")
    return "the run went on under the new agent, begun once"


def agent_lost(kit: Scratch) -> str:
    """The agent is killed and stays away: the work stops by itself before the lease ends, and
    only then does it run again."""
    job_id = _submit(kit, "agent-lost", beats(kit.lease_s * 2))
    witness = witness_of(kit, "agent-lost")
    until(lambda: lives(witness), "the job runs")
    kit.kill(kit.agents[kit.site])
    killed_s = time.time()
    lease_s = kit.lease_s
    time.sleep(lease_s + 1.0)
    (first,) = lives(witness)
    expect(
        first.last_s <= killed_s + lease_s + DEATH_SLACK_S,
        f"the work lived {first.last_s - killed_s:.1f} s after its agent; the lease is {lease_s} s",
    )
    expect(not first.ended, "the job ended before the lease did: it shows nothing")
    kit.start_agent(kit.site)
    kit.until_state(job_id, "succeeded", within_s=6.0 * lease_s + 30)
    check_lives(witness, 2)
    return (
        f"the work stopped by itself {first.last_s - killed_s:.1f} s after the agent was killed "
        f"(lease {lease_s} s), and ran again only then"
    )


def server_back(kit: Scratch) -> str:
    """The server is killed and is back: the run goes on."""
    job_id = _submit(kit, "server-back", beats(kit.lease_s))
    until(lambda: lives(witness_of(kit, "server-back")), "the job runs")
    assert kit.server is not None
    kit.kill(kit.server)
    gone_s = time.monotonic()
    kit.start_server()
    away_s = time.monotonic() - gone_s
    job = kit.until_state(job_id, "succeeded", within_s=6.0 * kit.lease_s + 60)
    runs = len(job["runs"])
    check_lives(witness_of(kit, "server-back"), runs)
    if away_s > kit.lease_s * SURE_SHARE:
        return (
            f"the server was away for {away_s:.1f} s of a lease of {kit.lease_s} s: {runs} run(s), "
            "one after the other"
        )
    expect(runs == 1, f"it took {runs} runs, though the server was away for {away_s:.1f} s only")
    return f"the run went on while the server was away for {away_s:.1f} s, begun once"


def disk_full(kit: Scratch) -> str:
    """The agent's disk is full: no job counts as done that was not, the agent lives, and works
    again once there is room."""
    site = "full"
    state = kit.state(site)
    state.mkdir()
    mounted = _mount(state)
    if mounted:
        kit.mounts.append(state)
    kit.join(site, kit.invite(site))
    agent = kit.start_agent(site)
    filler = state / "filler"
    try:
        if mounted:
            how = f"a tmpfs of {FULL_DISK_BYTES >> 20} MiB as the agent's folder, filled"
            _fill(filler)
        else:
            how = "the agent's file size limit set to 0 (no leave to mount a small disk)"
            soft, hard = resource.prlimit(agent.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (0, hard))
        job_id = _submit(kit, "disk-full", 'echo ran >> "$WITNESS"', site=site)
        job = _settled(kit, job_id)
        ran = witness_of(kit, "disk-full").exists()
        honest = job["state"] != "succeeded" or ran
        expect(honest, "a job that never ran was told as succeeded")
        expect(agent.poll() is None, f"the agent ended: {kit.tail(site)}")
    finally:
        filler.unlink(missing_ok=True)
        if not mounted:
            resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (soft, hard))
    after = _submit(kit, "room-again", "true", site=site)
    kit.until_state(after, "succeeded")
    kit.client.post(f"/v1/joined/{site}/status", {"status": "draining"})
    kit.stop_agent(site)
    detail = job["runs"][-1]["detail"] if job["runs"] else ""
    word = "it could not be started" if not ran else f"it ran and was told as {job['state']}"
    return f"{how}: {word} ({_short(detail)}); with room again the next one ran"


def _settled(kit: Scratch, job_id: str) -> dict[str, Any]:
    """The job when it is over, or after three leases."""
    end = time.monotonic() + 3 * kit.lease_s
    while (job := kit.job(job_id))["state"] not in OVER and time.monotonic() < end:
        time.sleep(0.1)
    if job["state"] not in OVER:
        kit.client.post(job_path(job_id, "cancel"))
        job = kit.until_state(job_id, *OVER)
    return job


def _short(text: object) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= 80 else words[:77] + "..."


def _mount(folder: Path) -> bool:
    if shutil.which("mount") is None:
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL_DISK_BYTES}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


def _fill(path: Path) -> None:
    """To the last byte."""
    with open(path, "ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


def clock_skew(kit: Scratch) -> str:
    """The site's clock is a day ahead: leases still hold, and end when they should."""
    under = _time_namespace()
    kit.stop_agent(kit.site)
    kit.start_agent(kit.site, under=under)
    try:
        job_id = _submit(kit, "clock-skew", beats(kit.lease_s * 1.5))
        job = kit.until_state(job_id, "succeeded")
        (life,) = check_lives(witness_of(kit, "clock-skew"), 1)
        expect(len(job["runs"]) == 1, f"it took {len(job['runs'])} runs")
        run = job["runs"][0]
        off_s = run["started_ms"] / 1000 - life.first_s
        expect(abs(off_s) < 5, f"the server thinks it started {off_s:.0f} s off")
        lost = _submit(kit, "clock-skew-lost", beats(kit.lease_s * 2))
        witness = witness_of(kit, "clock-skew-lost")
        until(lambda: lives(witness), "the job runs")
        kit.kill(kit.agents[kit.site])
        killed_s = time.time()
        time.sleep(kit.lease_s + 1.0)
        (first,) = lives(witness)
        expect(
            not first.ended and first.last_s <= killed_s + kit.lease_s + DEATH_SLACK_S,
            "the work outlived its lease",
        )
        kit.client.post(job_path(lost, "cancel"))
    finally:
        kit.stop_agent(kit.site)
        kit.start_agent(kit.site)
    return (
        "agent and its local processes in a time namespace a day ahead of the server: the run "
        "was renewed and timed right, and without its agent stopped before the lease's end"
    )


def _time_namespace() -> tuple[str, ...]:
    """A command that starts another with its boot clock set forward. Raises Untested."""
    for extra in ((), ("--map-root-user",)):
        command = ("unshare", *extra, "--time", "--boottime", str(SKEW_S), "--monotonic", "0")
        try:
            done = subprocess.run(
                [*command, "cat", "/proc/uptime"], check=False, capture_output=True, text=True
            )
        except FileNotFoundError:
            raise Untested("unshare (util-linux) is not installed") from None
        if done.returncode == 0:
            ahead_s = float(done.stdout.split()[0]) - float(
                Path("/proc/uptime").read_text().split()[0]
            )
            if ahead_s > SKEW_S / 2:
                return command
    raise Untested("no leave to make a time namespace (needs root or user namespaces)")


LIFE: tuple[tuple[str, Check], ...] = (
    ("start", start),
    ("logs", logs),
    ("exit code", exit_code),
    ("environment", environment),
    ("gang", gang),
    ("meter", meter),
    ("cancel", cancel),
    ("stubborn job", stubborn),
)
CHECKS: tuple[tuple[str, Check], ...] = (
    ("join", join),
    *LIFE,
    ("agent back", agent_back),
    ("lost agent", agent_lost),
    ("lost server", server_back),
    ("disk full", disk_full),
    ("clock skew", clock_skew),
)
"""Later checks need the site that "join" made."""
NAMES = tuple(name for name, _ in CHECKS)

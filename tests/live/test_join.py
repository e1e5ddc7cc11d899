"""Joining a network, offering, being revoked: real processes, real sockets, the real command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.harness import Witness, until
from tests.live.joining import ConnectProxy, Grid, make_authority

pytestmark = pytest.mark.long

TASK = """\
name: {name}
resources:
  cpus: 1
  infra: "*/{site}"
  labels:
    westward.duration: 2s
{labels}run: |
  {run}
"""


def task(site: str, run: str = "true", name: str = "j", **labels: str) -> str:
    lines = "".join(f"    westward.{key}: {value}\n" for key, value in labels.items())
    return TASK.format(name=name, site=site, run=run, labels=lines)


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[Grid]:
    found = Grid(tmp_path)
    found.start_server()
    yield found
    found.close()


def test_a_site_joins_and_its_discovered_pool_is_planned_on_and_billed(grid: Grid) -> None:
    token = grid.invite("lab", "--zone", "coast", "--place", "city", "--tag", "country=XX")
    said = grid.join("lab", token, "--power-w", "50")
    assert "blank     pue, price_per_device_hour of lab-local" in said
    private = ("credential.json", "link.json")
    for name in private:
        assert stat.S_IMODE((grid.state("lab") / name).stat().st_mode) == 0o600
    grid.run_site("lab")
    shown = grid.show("lab")
    (found,) = shown["offer"]["discovered"]
    assert found["cpus_milli_per_node"] == 1000 * len(os.sched_getaffinity(0))
    assert (shown["joined"], shown["in_folder"]) == (True, False)

    # A pool that nobody has priced gets no job; the reason says so.
    refused = grid.submit(task("lab"))
    until(
        lambda: "price-unknown" in json.dumps(grid.get(f"/v1/jobs/{refused}/why")),
        "the refusal is explained",
    )
    grid.edit(
        "lab", ("pue: ", "pue: 1.2"), ("price_per_device_hour: ", "price_per_device_hour: 36")
    )
    assert "offered   lab-local" in grid.apply("lab")

    near = grid.submit(task("lab", "echo from $WESTWARD_SITE", latency="city<=5ms round-trip"))
    job = grid.until_state(near, "succeeded")
    assert job["site"] == "lab"
    assert "from lab" in grid.cli("logs", near)
    until(lambda: grid.job(near)["bills"], "it is billed")
    far = grid.submit(task("lab", inputs="harbor=1GB"))
    assert grid.job(far)["state"] == "refused", "no link is known to move data over"
    assert "no-link" in json.dumps(grid.get(f"/v1/jobs/{far}/why"))


def test_an_invitation_is_good_once_for_a_while_and_for_one_site(grid: Grid) -> None:
    token = grid.invite("lab", "--zone", "coast")
    assert "no such invitation" in grid.join("a", "wji_wrong", code=2)
    grid.join("lab", token)
    assert "used before" in grid.join("b", token, code=2)
    assert not (grid.state("b") / "credential.json").exists()
    first, second = (grid.invite("other", "--zone", "coast") for _ in range(2))
    assert "a later invitation" in grid.join("c", first, code=2)
    grid.join("other", second)
    brief = grid.invite("third", "--zone", "coast", "--valid", "1s")
    time.sleep(1.2)
    assert "expired" in grid.join("d", brief, code=2)
    assert "has joined" in grid.join("lab", grid.invite("lab", "--zone", "coast"), code=2)

    said = grid.cli("site", "invite", "new", "--zone", "cost", "--place", "citty", code=2)
    assert "no zone 'cost'" in said
    assert "no place 'citty'" in said
    assert "stands in the network folder" in grid.cli(
        "site", "invite", "harbor", "--zone", "coast", code=2
    )
    said = grid.cli("site", "list", code=2, WESTWARD_OPERATOR_TOKEN="wop_guess")
    assert "operator" in said
    status, answer = grid.call("POST", "/v1/joined/lab/revoke", {})
    assert (status, answer["code"]) == (401, "operator-only")


def test_a_lost_answer_to_an_enrolment_costs_nothing(grid: Grid) -> None:
    token = grid.invite("lab", "--zone", "coast")
    body = {"token": token, "credential_digest": "0" * 64}
    first = grid.call("POST", "/v1/agent/enrol", body)
    assert first[0] == 200
    assert grid.call("POST", "/v1/agent/enrol", body) == first, "repeated word for word"
    thief = {"token": token, "credential_digest": "1" * 64}
    status, answer = grid.call("POST", "/v1/agent/enrol", thief)
    assert (status, answer["code"]) == (403, "token-used")


def test_faults_of_the_offer_are_told_at_once_and_change_nothing(grid: Grid) -> None:
    grid.join_lab()
    before = grid.show("lab")["offer"]
    file = grid.state("lab") / "site.yaml"
    good = file.read_text()
    file.write_text(
        good.replace("hours: []", 'hours: ["Mon 25:00-26:00"]')
        .replace("purposes:", "purpses:")
        .replace("price_per_device_hour: 0.01", "price_per_device_hour: free")
    )
    said = grid.apply("lab", code=2).splitlines()
    rows = {n for n, line in enumerate(good.splitlines(), 1) if "hours: []" in line}
    assert len(said) == 3, said
    assert any(f"site.yaml:{row} [hours[0]]" in line for row in rows for line in said)
    # These only the server can find: the row is the file's all the same.
    file.write_text(
        good.replace("- name: lab-local", "- name: harbor-east").replace(
            "accelerator: ", "accelerator: west-crd"
        )
    )
    said = grid.apply("lab", code=2).splitlines()
    assert any("belongs to site harbor" in line for line in said)
    assert any("Did you mean west-card?" in line for line in said)
    assert any("[pools[0].devices_per_node]" in line for line in said)
    assert "Nothing was changed" in said[-1]
    assert grid.show("lab")["offer"] == before
    file.write_text(good)
    grid.agents["lab"].send_signal(signal.SIGHUP)  # what apply does
    assert grid.agents["lab"].poll() is None


def test_both_operators_words_are_honoured(grid: Grid) -> None:
    grid.join_lab()
    running = grid.submit(task("lab", "sleep 4"))
    grid.until_state(running, "running")
    grid.cli("site", "drain", "lab")
    held = grid.submit(task("lab"))
    assert grid.site_status("lab") == "draining"
    grid.until_state(running, "succeeded")
    until(lambda: grid.site_status("lab") == "drained", "the site is empty")
    assert grid.job(held)["state"] == "pending"

    # The network's operator takes the word back; the site's own still holds, and then hours do.
    grid.edit("lab", ("status: open             #", "status: cordoned         #"))
    grid.apply("lab")
    grid.cli("site", "open", "lab")
    assert grid.site_status("lab") == "cordoned"
    tomorrow = time.strftime("%a", time.gmtime(time.time() + 36 * 3600))
    grid.edit(
        "lab",
        ("status: cordoned         #", "status: open             #"),
        ("hours: []", f'hours: ["{tomorrow} 00:00-24:00"]'),
    )
    grid.apply("lab")
    assert grid.site_status("lab") == "cordoned"
    assert grid.job(held)["state"] == "pending"
    grid.edit(
        "lab",
        (f'hours: ["{tomorrow} 00:00-24:00"]', 'hours: ["daily 00:00-24:00"]'),
        ("accounts: []", "accounts: [lab-7]"),
        ("purposes: []", "purposes: [research]"),
    )
    grid.apply("lab")
    asked = {"account": "lab-7", "purpose": "research"}
    mine = grid.submit(task("lab", **asked))
    grid.until_state(mine, "succeeded")
    assert grid.job(held)["state"] == "pending", "it states neither account nor purpose"
    text = json.dumps(grid.get(f"/v1/jobs/{held}/why"))
    assert '"account"' in text
    assert '"purpose"' in text

    # One pool alone, by the network's operator.
    grid.cli("site", "cordon", "lab", "--pool", "lab-local")
    assert grid.show("lab")["marks"] == {"lab-local": "cordoned"}
    assert grid.site_status("lab") == "cordoned"
    assert "no pool of site lab 'x'" in grid.cli("site", "cordon", "lab", "--pool", "x", code=2)


def test_a_run_is_billed_by_the_offer_in_force_when_it_was_granted(grid: Grid) -> None:
    grid.join_lab()
    job_id = grid.submit(task("lab", "sleep 3"))
    grid.until_state(job_id, "running")
    grid.edit("lab", ("price_per_device_hour: 0.01", "price_per_device_hour: 3600"))
    grid.apply("lab")
    grid.until_state(job_id, "succeeded")
    (bill,) = until(lambda: grid.job(job_id)["bills"], "it is billed")
    assert 0 < bill["device_micros"] < 100, "three seconds at 0.01, not at 3600 an hour"


def test_a_revoked_site_stops_its_work_and_its_job_runs_elsewhere(grid: Grid) -> None:
    grid.run_folder_agent("basin")
    grid.join_lab()
    witness = Witness(grid.folder, beats=160)
    text = witness.task().replace(
        "cpus: 1", "cpus: 1\n  any_of: [{infra: '*/lab'}, {infra: '*/basin'}]"
    )
    job_id = grid.submit(text)
    (first,) = until(witness.executions, "it runs")
    assert first.site == "lab", "by far the cheapest"
    assert "1 lease(s) run out" in grid.cli("site", "revoke", "lab", "--yes")
    assert grid.agents["lab"].wait(timeout=30) == 5
    stopped_ns = witness.executions()[0].last_ns
    assert time.monotonic_ns() - stopped_ns < 30 * 10**9
    assert grid.site_status("lab") == "revoked"
    status, answer = grid.call(
        "POST", "/v1/agent/hello", {"site": "lab", "agent_id": "a", "pools": []}, grid.secret("lab")
    )
    assert (status, answer["code"]) == (403, "site-revoked")
    job = grid.until_state(job_id, "succeeded", "failed")
    assert job["state"] == "succeeded"
    assert [run["site"] for run in job["runs"]] == ["lab", "basin"]
    assert [run["state"] for run in job["runs"]] == ["lost", "succeeded"]
    witness.check([job_id])
    bills = until(lambda: found if len(found := grid.job(job_id)["bills"]) == 2 else None, "bills")
    assert all(bill["price_micros"] >= 0 for bill in bills), "a site that is gone is still paid"
    grid.start_site("lab")
    assert grid.agents["lab"].wait(timeout=60) == 5, "it stays out"
    # Invited anew it may come back, with what it offered before.
    grid.join("lab", grid.invite("lab", "--zone", "coast"), "--again")
    grid.run_site("lab")


def test_every_request_needs_the_credential_of_its_own_site(grid: Grid) -> None:
    grid.join_lab("lab")
    grid.join_lab("den")

    def hello(site: str, secret: str | None) -> tuple[int, str]:
        body = {"site": site, "agent_id": "stranger", "pools": []}
        status, answer = grid.call("POST", "/v1/agent/hello", body, secret)
        return status, answer.get("code", "")

    assert hello("lab", None) == (401, "credential-missing")
    assert hello("lab", "wsc_guess") == (401, "credential-unknown")
    assert hello("lab", grid.secret("den")) == (403, "not-your-site")
    assert hello("basin", None)[0] == 200, "a site of the folder, from this machine"
    assert hello("basin", grid.secret("den")) == (403, "not-your-site")

    job_id = grid.submit(task("lab", "sleep 5"))
    (run,) = grid.until_state(job_id, "running")["runs"]
    ended = {
        "token": run["token"], "outcome": "succeeded", "exit_code": 0, "detail": "", "readings": [],
    }  # fmt: skip
    path = f"/v1/agent/runs/{run['run_id']}/ended"
    status, answer = grid.call("POST", path, ended, grid.secret("den"))
    assert (status, answer["code"]) == (403, "not-your-site")
    status, answer = grid.call("POST", path, ended)
    assert (status, answer["code"]) == (401, "credential-missing")
    assert grid.job(job_id)["state"] == "running"
    # A site of the folder that joins is asked for its credential from then on.
    grid.join("basin", grid.invite("basin"))
    assert hello("basin", None) == (401, "credential-missing")
    assert hello("plateau", None)[0] == 200


def test_a_site_of_the_folder_keeps_its_facts_and_offers_its_terms(grid: Grid) -> None:
    said = grid.join("basin", grid.invite("basin"))
    assert "offers    basin-west (local)" in said
    grid.run_site("basin")
    assert grid.show("basin")["pools"][0]["price_micros_per_device_hour"] == 500_000
    grid.edit(
        "basin",
        ("price_per_device_hour: #", "price_per_device_hour: 0.25 #"),
        ("accounts: []", "accounts: [lab-7]"),
    )
    grid.apply("basin")
    (pool,) = grid.show("basin")["pools"]
    assert pool["price_micros_per_device_hour"] == 250_000
    assert (pool["nodes"], pool["accelerator"], pool["accounts"]) == (2, "west-card", ["lab-7"])
    grid.edit("basin", ("accounts: [lab-7]", "accounts: [lab-7]\npue: 1.1"))
    assert "the network folder states this site's PUE" in grid.apply("basin", code=2)


def test_server_and_agent_come_back(grid: Grid) -> None:
    grid.lease = "20s"
    grid.kill_server()
    grid.start_server()
    grid.join_lab()
    job_id = grid.submit(task("lab", "sleep 12"))
    grid.until_state(job_id, "running")
    offered_ms = grid.show("lab")["offered_ms"]
    grid.kill_server()
    grid.kill_agent("lab")
    grid.start_server()
    assert grid.show("lab")["offered_ms"] == offered_ms, "what was offered stands in the store"
    grid.run_site("lab")
    job = grid.until_state(job_id, "succeeded", "failed")
    assert [run["state"] for run in job["runs"]] == ["succeeded"], "the run went on"
    assert grid.show("lab")["offered_ms"] == offered_ms, "the same offer is no new one"


def test_through_tls_and_a_proxy_credentials_rotate_and_old_ones_are_refused(
    tmp_path: Path,
) -> None:
    ca, cert, key = make_authority(tmp_path, "westward.test")
    grid = Grid(tmp_path, ("--tls-cert", str(cert), "--tls-key", str(key), "--rotate", "2s"))
    grid.start_server()
    assert grid.url.startswith("https://")
    name = f"westward.test:{grid.port}"
    proxy = ConnectProxy({name: ("127.0.0.1", int(grid.port))})
    try:
        _through_tls(grid, ca, f"https://{name}", proxy)
    finally:
        grid.close()
        proxy.close()


def _through_tls(grid: Grid, ca: Path, url: str, proxy: ConnectProxy) -> None:
    """The server's name can be resolved by the proxy alone."""
    tls = {"WESTWARD_CA": str(ca)}
    answer = json.loads(grid.cli("site", "invite", "lab", "--zone", "coast", "--json", **tls))
    token = answer["token"]
    state = grid.state("lab")
    join = ("site", "join", url, "--token", token, "--state", str(state), "--no-start")
    # Without the authority nothing is told to the server, and the invitation is not lost.
    said = grid.cli(*join, "--proxy", proxy.url, code=2)
    assert "certificate" in said.lower()
    terms = ("--price", "0.01", "--power-w", "50", "--pue", "1.2")
    grid.cli(*join, *terms, "--ca", str(ca), "--proxy", proxy.url)
    assert proxy.tunnels
    old = grid.secret("lab")
    before = len(proxy.tunnels)
    grid.start_site("lab")

    def call(secret: str) -> tuple[int, str]:
        code, text = _curl(grid, ca, secret)
        return code, json.loads(text).get("code", "")

    until(lambda: grid.secret("lab") != old, "the credential has been followed")
    until(lambda: call(old) == (401, "credential-retired"), "the old one is over")
    assert len(proxy.tunnels) > before
    out = grid.cli("site", "show", "lab", **tls)
    assert "lab   open" in out
    job = grid.cli("submit", _write(grid, task("lab", "sleep 5; echo through")), "--wait", **tls)
    assert "succeeded" in job
    assert "retired" in grid.log("server") or "rotated" in grid.log("server")
    # The agent that is started again goes on with what it has; the thief's copy stays useless.
    proxy.cut()
    grid.kill_agent("lab")
    link = state / "link.json"  # the proxy of the environment does as well
    link.write_text(json.dumps({**json.loads(link.read_text()), "proxy": None}))
    before = len(proxy.tunnels)
    grid.start_site("lab", HTTPS_PROXY=proxy.url)
    second = grid.secret("lab")
    until(lambda: grid.secret("lab") != second, "it goes on rotating")
    assert len(proxy.tunnels) > before
    assert call(old) == (401, "credential-retired")
    thief = grid.folder / "thief"
    shutil.copytree(state, thief, ignore=shutil.ignore_patterns("wake", "runs", "finished"))
    file = json.loads((thief / "credential.json").read_text())
    (thief / "credential.json").write_text(json.dumps({**file, "secret": old, "following": None}))
    done = grid._spawn(
        "thief", "-m", "westward.agent", "--state", str(thief), HTTPS_PROXY=proxy.url
    )
    assert done.wait(timeout=60) == 5
    assert grid.agents["lab"].poll() is None


def _write(grid: Grid, text: str) -> str:
    path = grid.folder / "job.yaml"
    path.write_text(text)
    return str(path)


def _curl(grid: Grid, ca: Path, secret: str) -> tuple[int, str]:
    """A rotation asked for with ``secret``, which changes nothing but for a good one."""
    import http.client
    import ssl

    context = ssl.create_default_context(cafile=str(ca))
    link = http.client.HTTPSConnection("127.0.0.1", int(grid.port), context=context, timeout=30)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    link.request("POST", "/v1/agent/rotate", json.dumps({"next_digest": "x"}), headers)
    answer = link.getresponse()
    found = answer.status, answer.read().decode()
    link.close()
    return found

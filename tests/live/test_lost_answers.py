"""Requests arrive, answers get lost: everything is repeated, nothing happens twice."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import SITES, Live, Witness
from lossy import LossyProxy


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    network = Live(tmp_path)
    try:
        yield network
    finally:
        network.close()


def test_jobs_run_once_though_a_third_of_the_answers_is_lost(live: Live) -> None:
    live.start_server()
    direct = live.url
    proxy = LossyProxy(int(direct.rpartition(":")[2]), seed=11)
    try:
        live.url = proxy.url  # what the agents are told
        for site in SITES:
            live.start_agent(site)
        live.url = direct
        live.until_open(SITES)
        witness = Witness(live.folder, beats=10)
        names = [f"job_witnessed-{number}" for number in range(10)]
        for name in names:
            live.submit(name, witness.task().replace("exec ", "seq 1 2000; exec "))
        jobs = [live.finish(name) for name in names]
    finally:
        proxy.close()
    assert proxy.cut > 10, "answers were to get lost"
    assert {job["state"] for job in jobs} == {"succeeded"}
    witness.check(names)
    whole = "".join(f"{number}\n" for number in range(1, 2001))
    for name in names:
        answer = live.get(f"/v1/jobs/{name}/logs")
        assert base64.b64decode(answer["data_b64"]).decode() == whole
    assert live.get("/healthz")["jobs"]["succeeded"] == len(names)

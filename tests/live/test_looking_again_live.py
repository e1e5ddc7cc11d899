"""Real processes: who waits at a full site goes where another one has come up (decision 0051)."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Live, until

pytestmark = pytest.mark.long


def whole_node(name: str, run: str) -> str:
    """Four cpus, all of harbor's node, for an hour, as it says; it may not be put off."""
    return (
        f"name: {name}\nresources:\n  cpus: 4\n  labels:\n    westward.duration: 1h\n"
        f"    westward.value_of_wait: 1000/h\nrun: {run}\n"
    )


@pytest.mark.parametrize("review", ["2s", "0s"])
def test_a_site_comes_up_while_jobs_wait(tmp_path: Any, review: str) -> None:
    live = Live(tmp_path, server_options=("--review", review))
    try:
        live.start_server()
        live.start_agent("harbor")
        live.until_open(("harbor",))
        live.submit("job_long", whole_node("long", "sleep 20"))
        until(lambda: live.job("job_long")["state"] == "running", "harbor is full")
        live.submit("job_waits", whole_node("waits", "echo done"))
        until(lambda: live.job("job_waits")["state"] == "bound", "it waits behind it")
        live.start_agent("basin")
        live.until_open(("harbor", "basin"))
        job = live.finish("job_waits")
        assert job["state"] == "succeeded", job
        (run,) = job["runs"]
        story = [line["text"] for line in live.get("/v1/jobs/job_waits/why")["story"]]
        moved = [text for text in story if "in place of harbor-east, where it waited" in text]
        if review == "0s":
            assert run["site"] == "harbor", "it keeps its place"
            assert moved == []
            return
        assert run["site"] == "basin"
        assert live.job("job_long")["state"] == "running", "long before harbor was free"
        (told,) = moved
        assert told.startswith("Placed in pool basin-west at basin in place of")
        assert told.endswith("below harbor")
        decision = live.get("/v1/jobs/job_waits/why")["decision"]
        seen = {one["pool"]: one["estimate"] for one in decision["placement"]["alternatives"]}
        assert seen["basin-west"]["start_ms"] < seen["harbor-east"]["start_ms"]
    finally:
        live.close()


def test_a_rehearsed_policy_is_adopted(tmp_path: Any) -> None:
    """The same job and the same network; what is told of the decision names the policy."""
    placed = {}
    job = "name: one\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 1m\nrun: 'true'\n"
    for name, text in (
        ("cheap", "rule: cheapest-static\ndiscipline: easy\n"),
        ("first", "rule: first-to-admit\ncarbon_price: 7\n"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        file = folder / "policy.yaml"
        file.write_text(text)
        live = Live(folder, server_options=("--policy", str(file)))
        try:
            live.start_all()
            live.submit("job_one", job)
            done = live.finish("job_one")
            assert done["state"] == "succeeded", done
            decision = live.get("/v1/jobs/job_one/why")["decision"]
            placed[name] = done["runs"][0]["site"], decision["policy"]
        finally:
            live.close()
    site, policy = placed["cheap"]
    assert (site, policy["rule"], policy["discipline"]) == ("plateau", "cheapest-static", "easy")
    site, policy = placed["first"]
    assert (site, policy["rule"]) == ("basin", "first-to-admit")
    assert policy["discipline"] == "conservative", "as without a file"
    assert policy["carbon_price_micros_per_tonne"] == 7_000_000

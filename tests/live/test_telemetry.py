"""Metrics and traces of a real network: scraped as Prometheus does, received as OTLP over HTTP."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness import Live, until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "westward.json"
PARTS = ["plan", "queue", "lease", "run", "settle"]


@dataclass
class Receiver:
    """Takes what an OTLP collector takes. ``down``: answers 503."""

    spans: dict[str, dict[bytes, Any]] = field(default_factory=lambda: defaultdict(dict))
    down: bool = False
    refused: int = 0

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.down or self.path != "/v1/traces":
                    receiver.refused += 1
                    self.send_response(503)
                    self.end_headers()
                    return
                receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert names["service.name"] == "westward"
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.trace_id.hex()][span.span_id] = span

    def trace(self, job_id: str) -> list[Any]:
        """The job's spans by start, its root first."""
        for spans in list(self.spans.values()):
            for span in list(spans.values()):
                if attributes(span).get("westward.job_id") == job_id:
                    return sorted(
                        spans.values(),
                        key=lambda one: (bool(one.parent_span_id), one.start_time_unix_nano,
                                         one.end_time_unix_nano),
                    )  # fmt: skip
        return []


def attributes(span: Any) -> dict[str, Any]:
    return {
        one.key: one.value.int_value or one.value.string_value
        if one.value.WhichOneof("value") != "int_value"
        else one.value.int_value
        for one in span.attributes
    }


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Live]:
    patch = pytest.MonkeyPatch()
    patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    network = Live(tmp_path_factory.mktemp("telemetry"), agent_options=("--metrics-port", "0"))
    try:
        network.start_all()
        yield network
    finally:
        patch.undo()
        network.close()


def scrape(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample by its name, read by Prometheus' own parser."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        text = answer.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def agent_url(live: Live, site: str) -> str:
    log = live.folder / f"{site}.log"

    def announced() -> str:
        for line in log.read_text().splitlines():
            match = re.search(r"metrics at (http://\S+/metrics)", line)
            if match:
                return match[1]
        return ""

    return until(announced, "the agent says where its metrics are")


def value(
    samples: dict[str, list[tuple[dict[str, str], float]]], name: str, **labels: str
) -> float:
    return sum(have for own, have in samples[name] if labels.items() <= own.items())


def test_what_happened_is_counted(live: Live) -> None:
    before = scrape(f"{live.url}/metrics")
    live.submit("job_counted", "run: sleep 1\n")
    live.submit("job_counted-bad", "run: exit 3\n")
    live.submit("job_counted-huge", "resources: {accelerators: nonesuch:8}\nrun: echo\n")
    for job_id in ("job_counted", "job_counted-bad"):
        live.finish(job_id)
    site = live.job("job_counted")["site"]

    def settled() -> bool:
        now = scrape(f"{live.url}/metrics")
        return value(now, "westward_runs_settled_total") == 2 + value(
            before, "westward_runs_settled_total"
        )

    until(settled, "both runs have their bills")
    now = scrape(f"{live.url}/metrics")

    def rose(name: str, **labels: str) -> float:
        return value(now, name, **labels) - value(before, name, **labels)

    assert rose("westward_submissions_total", surface="v1", answer="created") == 2
    assert rose("westward_submissions_total", surface="v1", answer="refused") == 1
    assert rose("westward_jobs", state="succeeded") == 1
    assert rose("westward_jobs", state="failed") == 1
    assert rose("westward_jobs", state="refused") == 1
    assert rose("westward_job_start_delay_seconds_count") == 2
    assert rose("westward_run_duration_seconds_count", outcome="succeeded") == 1
    assert rose("westward_run_duration_seconds_count", outcome="failed") == 1
    assert 1 <= rose("westward_run_duration_seconds_sum", outcome="succeeded") < 60
    assert rose("westward_plan_duration_seconds_count") >= 1
    assert rose("westward_grants_offered_total") >= 2
    assert rose("westward_lease_renewals_total", site=site) >= 1
    assert rose("westward_energy_joules_total") > 0
    assert value(now, "westward_pool_open", site=site) == 1
    assert value(now, "westward_pool_runs") == 0
    agent = scrape(agent_url(live, site))
    assert value(agent, "westward_agent_runs_started_total", site=site) >= 1
    assert value(agent, "westward_agent_polls_total") >= 1
    assert 0 <= value(agent, "westward_agent_poll_age_seconds") < 60


def test_names_follow_the_conventions_and_the_dashboard_asks_for_what_there_is(live: Live) -> None:
    live.submit("job_named", "run: echo\n")
    live.finish("job_named")
    own = scrape(f"{live.url}/metrics").keys() | scrape(agent_url(live, "basin")).keys()
    ours = {name for name in own if name.startswith("westward_")}
    for name in ours:
        assert re.fullmatch(r"[a-z_]+", name)
        assert not re.search(r"_(ms|millis|micros|minutes|percent)(_|$)", name), name
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked: set[str] = set()
    for panel in dashboard["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bwestward_[a-z_]+", target["expr"]))
    assert asked
    assert asked <= ours, asked - ours


def test_a_jobs_trace_goes_from_submit_to_settle(live: Live, receiver: Receiver) -> None:
    live.submit("job_traced", "name: traced\nrun: sleep 0.5\n")
    job = live.finish("job_traced")
    root, *parts = until(lambda: receiver.trace("job_traced"), "the trace is here")
    assert [part.name for part in parts] == PARTS
    assert root.name == "job"
    assert (attributes(root)["westward.job_name"], attributes(root)["westward.state"]) == (
        "traced", "succeeded",
    )  # fmt: skip
    assert root.start_time_unix_nano == job["submit_ms"] * 10**6
    assert all(part.parent_span_id == root.span_id for part in parts)
    assert parts[0].start_time_unix_nano == root.start_time_unix_nano
    for earlier, later in itertools.pairwise(parts):
        assert earlier.end_time_unix_nano == later.start_time_unix_nano
    assert parts[-1].end_time_unix_nano == root.end_time_unix_nano
    run = parts[3]
    assert run.start_time_unix_nano == job["started_ms"] * 10**6
    assert run.end_time_unix_nano == job["runs"][0]["ended_ms"] * 10**6
    assert attributes(run)["westward.site"] == job["site"]
    assert attributes(run)["process.exit.code"] == 0
    story = [line["kind"] for line in live.get("/v1/jobs/job_traced/why")["story"]]
    assert [event.name for event in root.events] == story


def test_failed_refused_and_cancelled_jobs_have_traces_too(live: Live, receiver: Receiver) -> None:
    live.submit("job_t-bad", "run: exit 3\n")
    live.submit("job_t-huge", "resources: {accelerators: nonesuch:8}\nrun: echo\n")
    live.submit("job_t-late", "resources: {labels: {westward.start_after: 6h}}\nrun: echo\n")
    until(lambda: live.job("job_t-late")["state"] == "bound", "it has a place")
    live.call("POST", "/v1/jobs/job_t-late/cancel")
    expected = {"job_t-bad": (2, PARTS), "job_t-huge": (2, ["plan"]), "job_t-late": (1, ["plan"])}
    for job_id, (status, names) in expected.items():
        root, *parts = until(lambda job_id=job_id: receiver.trace(job_id), "the trace is here")
        assert [part.name for part in parts] == names
        assert root.status.code == status  # 1: ok, 2: error
    failed = receiver.trace("job_t-bad")[4]
    assert (failed.status.code, attributes(failed)["process.exit.code"]) == (2, 3)


def test_a_trace_is_whole_though_receiver_and_server_were_away(
    live: Live, receiver: Receiver
) -> None:
    live.submit("job_t-kept", "run: sleep 2\n")
    until(lambda: live.job("job_t-kept")["state"] == "running", "it runs")
    receiver.down = True
    live.kill_server()
    live.start_server()
    job = live.finish("job_t-kept")
    before = receiver.refused
    until(lambda: receiver.refused > before, "the receiver refused it")
    live.kill_server()
    receiver.down = False
    live.start_server()
    root, *parts = until(lambda: receiver.trace("job_t-kept"), "the trace is here")
    assert [part.name for part in parts] == PARTS
    assert root.start_time_unix_nano == job["submit_ms"] * 10**6
    assert parts[3].end_time_unix_nano == job["runs"][0]["ended_ms"] * 10**6
    assert len(receiver.trace("job_t-kept")) == 6  # told again, it is the same trace

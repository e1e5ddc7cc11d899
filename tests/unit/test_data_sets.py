"""Data sets below HTTP: terms, manifests, the cache, the choice of a copy, what the store keeps."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.databases import DATABASES, new_database
from westward.agent.data import take_settings
from westward.agent.data_cache import DataCache, NoRoom, write_at
from westward.agent.outputs import scan_output
from westward.control import events
from westward.control.machine import Ignored
from westward.formats.data_terms import parse_inputs, parse_outputs
from westward.formats.skypilot import read_task
from westward.model.dataset import (
    DataFile,
    DataSet,
    Replica,
    file_problems,
    joint_terms,
    manifest_digest,
)
from westward.model.faults import InputFaults
from westward.model.job import DataInput, JobSpec, ResourceOption, TagRule, Work
from westward.model.network import Network
from westward.model.plan import idle_snapshot
from westward.model.wire import DataAsk, DataMoved, DataPublished, DataSource, DataStaged, Hello
from westward.network.loader import load_network
from westward.placement import plan
from westward.server.api_data import url_problem
from westward.server.applier import apply_plan, run_charge
from westward.server.data_names import pin_data, references, with_data
from westward.server.data_sources import choose_copy, give_source
from westward.server.purse import Purse
from westward.server.settings import LIVE_POLICY
from westward.server.site_queues import site_waits
from westward.server.snapshot import live_pools, situation
from westward.store.catalogue import (
    Added,
    NotTheOwner,
    add_dataset,
    add_replica,
    copies_of,
    load_dataset,
)
from westward.store.checkpoints import holder
from westward.store.data_runs import (
    Reader,
    load_moved,
    load_uses,
    note_staged,
    publish,
    reader_of,
    record_move,
)
from westward.store.database import Store, open_store
from westward.store.jobs import load_active, load_job, submit_jobs
from westward.store.lifecycle import apply_event, report_run
from westward.store.metering import unsettled_runs
from westward.store.results import Submission
from westward.store.sites import hello, list_sites, poll_site

NOW = 1_800_000_000_000
TTL = 10_000
POLICY = replace(LIVE_POLICY, wait_value_micros_per_device_hour=10**9)
PURSE = Purse(policy=POLICY, series_origin_ms=NOW, unit="CNY")
GB = 10**9


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(Path(__file__).parents[2] / "networks" / "laptop")


def entry(path: str, data: bytes) -> DataFile:
    return DataFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


# -- what is written


def test_inputs_and_outputs_are_read() -> None:
    placed, sets = parse_inputs("basin=10GB, dataset:corpus@2=data/c,dataset:vocab=~/v")
    assert [(one.site, one.size_bytes) for one in placed] == [("basin", 10 * GB)]
    assert sets == (
        DataInput(dataset="corpus", version=2, target="data/c"),
        DataInput(dataset="vocab", target="~/v"),
    )
    outputs = parse_outputs("model=weights,.=all")
    assert [(one.path, one.dataset) for one in outputs] == [("model", "weights"), (".", "all")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dataset:corpus", "in which folder"),
        ("dataset:corpus=/etc", "does not lie below"),
        ("dataset:corpus=../x", "does not lie below"),
        ("dataset:corpus@0=x", "is not a version"),
        ("dataset:corpus@x=y", "is not a version"),
        ("dataset:a=x,dataset:b=x/y", "lie in each other"),
        ("dataset:a=x,dataset:b=x", "lie in each other"),
        ("dataset:a b=x", "not the name of a data set"),
        ("corpus", "is not SITE=SIZE or dataset:NAME=FOLDER"),
    ],
)
def test_inputs_that_make_no_sense(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_inputs(text)


@pytest.mark.parametrize("text", ["model", "/model=w", "../m=w", "a=w,b=w", "=w"])
def test_outputs_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|below|twice"):
        parse_outputs(text)


def test_a_faulty_term_names_its_row() -> None:
    text = (
        "run: 'true'\nresources:\n  labels:\n    westward.inputs: 'dataset:x=/abs'\n"
        "    westward.outputs: nothing\n"
    )
    with pytest.raises(InputFaults) as told:
        read_task(text, file="j.yaml", job_id="job_1", now_ms=NOW)
    assert [(one.row, one.field) for one in told.value.faults] == [
        (4, "resources.labels.westward.inputs"),
        (5, "resources.labels.westward.outputs"),
    ]


def test_the_digest_is_of_what_lies_under_which_path() -> None:
    a, b = entry("a", b"1"), entry("b", b"2")
    assert manifest_digest([a, b]) == manifest_digest([b, a])
    assert manifest_digest([a, b]) != manifest_digest([entry("a", b"2"), entry("b", b"1")])


@pytest.mark.parametrize("path", ["/a", "../a", "a/../b", "./a", "a//b", "", ".", "a\n"])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    assert file_problems([replace(entry("a", b"1"), path=path)])


def test_a_file_cannot_be_a_folder_too() -> None:
    assert file_problems([entry("a/b", b"1"), entry("a", b"2")])
    assert not file_problems([entry("a/b", b"1"), entry("a.c", b"2")])


@pytest.mark.parametrize(
    "url",
    ["http://x/y", "file://host/x", "file:relative", "s3://", "s3://key:secret@b/x", "s3://b/?x=1",
     "simplecache::s3://b/x", "file:///a/../b", "/plain"],
)  # fmt: skip
def test_urls_that_no_site_would_read(url: str) -> None:
    assert url_problem(url) is not None


def test_what_is_made_keeps_every_term() -> None:
    both = joint_terms(
        [
            [TagRule(key="country", values=("CN", "SG")), TagRule(key="side", values=("west",))],
            [TagRule(key="country", values=("SG", "IN"))],
        ]
    )
    assert {one.key: one.values for one in both} == {"country": ("SG",), "side": ("west",)}


def test_settings_are_taken_from_the_engines_options() -> None:
    options = {"store": "s3://results/x", "cache": "3GB", "grace_ms": "5"}
    taken = take_settings(options)
    assert (taken.store, taken.cache_bytes, options) == (
        "s3://results/x",
        3 * GB,
        {"grace_ms": "5"},
    )
    for wrong in ({"store": "results"}, {"cache": "much"}):
        with pytest.raises(ValueError, match="the option"):
            take_settings(wrong)


# -- the site's cache


def put(cache: DataCache, name: bytes, size: int = 10, used: int = 0) -> tuple[str, DataFile]:
    data = (name * size)[:size]
    one = entry("deep/x", data)
    digest = manifest_digest([one])
    write_at(cache.coming_file(digest, one), 0, data)
    assert cache.accept(digest, one)
    cache.finish(digest, [one], "basin")
    os.utime(cache.root / digest / "entry.json", (used, used))
    return digest, one


def test_only_the_right_bytes_are_accepted(tmp_path: Path) -> None:
    cache = DataCache(tmp_path, 100)
    one = entry("x", b"right")
    write_at(cache.coming_file("d", one), 0, b"wrong")
    assert not cache.accept("d", one)
    assert not cache.coming_file("d", one).exists()
    assert cache.find("d", [one]) is None


def test_a_touched_file_is_read_anew_and_a_changed_one_let_go(tmp_path: Path) -> None:
    cache = DataCache(tmp_path, 100)
    digest, one = put(cache, b"a")
    path = cache.files(digest) / "deep/x"
    assert path.stat().st_mode & 0o222 == 0
    os.utime(path, (5, 5))
    found = cache.find(digest, [one])
    assert found is not None
    assert found.source_site == "basin"
    path.chmod(0o644)
    path.write_bytes(b"b" * 10)
    assert cache.find(digest, [one]) is None
    assert not (tmp_path / digest).exists()


def test_the_longest_unused_goes_first_and_nothing_in_use(tmp_path: Path) -> None:
    cache = DataCache(tmp_path, 35)
    old, _ = put(cache, b"a", used=1)
    middle, _ = put(cache, b"b", used=2)
    new, _ = put(cache, b"c", used=3)
    cache.make_room("next", 10, {old})
    assert [(tmp_path / one).exists() for one in (old, middle, new)] == [True, False, True]
    with pytest.raises(NoRoom, match="beside 20 bytes of data sets in use"):
        cache.make_room("next", 20, {old, new})
    with pytest.raises(NoRoom, match="more than this site's cache of 35"):
        cache.make_room("next", 36, set())
    assert (tmp_path / old).exists()


def test_what_is_coming_counts_and_can_be_let_go(tmp_path: Path) -> None:
    cache = DataCache(tmp_path, 30)
    write_at(cache.coming_file("half", entry("x", b"?")), 0, b"1" * 25)
    cache.make_room("half", 30, set())
    assert (tmp_path / "half.part").exists(), "its own part is not in its way"
    cache.make_room("other", 10, set())
    assert not (tmp_path / "half.part").exists()


def test_outputs_do_not_lead_out_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    (folder / "m").mkdir(parents=True)
    (folder / "m" / "w").write_bytes(b"1")
    (folder / "m" / "inside").symlink_to("w")
    (folder / "m" / "outside").symlink_to("/etc/hostname")
    _, files = scan_output(folder, "m")
    assert [one.path for one in files] == ["inside", "w"]
    (folder / "away").symlink_to("/etc")
    assert scan_output(folder, "away")[1] == ()
    base, files = scan_output(folder, "m/w")
    assert (base, files) == (folder / "m", (entry("w", b"1"),))


# -- which copy


def dataset(*sites: str, size_bytes: int = 5 * GB, **more: object) -> DataSet:
    values: dict[str, object] = {
        "name": "d", "version": 1, "owner": "", "size_bytes": size_bytes, "digest": "e" * 64,
        "files": (), "licence": "", "residency": (), "price_micros_per_gb": None,
        "created_ms": NOW,
        "replicas": tuple(Replica(site=one, url="file:///x", added_ms=NOW) for one in sites),
    }  # fmt: skip
    return DataSet(**(values | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("sites", [("basin",), ("basin", "plateau"), ("harbor", "plateau")])
def test_the_plan_pays_for_the_cheapest_copy_and_the_server_names_it(
    network: Network, sites: tuple[str, ...]
) -> None:
    dearer = replace(
        network,
        links=tuple(
            replace(one, price_micros_per_gb=90_000) if {one.a, one.b} == {"basin", "harbor"} else one
            for one in network.links
        ),
    )  # fmt: skip
    found = dataset(*sites)
    for site in ("basin", "harbor", "plateau"):
        spec = JobSpec(
            job_id="job_1", name="n", submit_ms=NOW, duration_ms=60_000,
            options=(ResourceOption(cpus_milli=1000, site=site),),
            datasets=(DataInput(dataset="d", version=1, target="t", digest=found.digest,
                                size_bytes=found.size_bytes),),
        )  # fmt: skip
        told = with_data(spec, {("d", 1): sites}, {"basin", "harbor", "plateau"})
        (placed,) = plan(idle_snapshot(dearer, NOW), (told,), POLICY, NOW).placements
        prices = [0 if one == site else price_of(dearer, one, site) for one in sites]
        assert placed.estimate.terms.transfer == pytest.approx(min(prices) * 5)
        chosen = choose_copy(dearer, found, site, ())
        assert chosen is not None
        assert prices[sites.index(chosen.site)] == min(prices)


def price_of(network: Network, a: str, b: str) -> int:
    link = network.link(a, b)
    assert link is not None
    assert link.price_micros_per_gb is not None
    return link.price_micros_per_gb


def test_a_data_set_without_a_copy_fits_nowhere(network: Network) -> None:
    spec = JobSpec(
        job_id="job_1", name="n", submit_ms=NOW, options=(ResourceOption(cpus_milli=1000),),
        datasets=(DataInput(dataset="d", version=1, target="t", digest="e", size_bytes=5),),
    )  # fmt: skip
    told = with_data(spec, {}, {"basin"})
    decided = plan(idle_snapshot(network, NOW), (told,), POLICY, NOW)
    assert not decided.placements
    assert "any copy" in str(decided.refusals[0].alternatives[0].reasons[0])


def test_a_suspect_copy_is_named_last(network: Network) -> None:
    found = dataset("basin", "harbor")
    bad = replace(found.replicas[0], suspect="wrong")
    found = replace(found, replicas=(bad, found.replicas[1]))
    here = choose_copy(network, found, "basin", ())
    assert here is not None
    assert here.site == "harbor"
    left = choose_copy(network, found, "basin", ("harbor",))
    assert left is not None
    assert left.site == "basin"


# -- what the store keeps


FILES = (entry("a", b"x" * 1000), entry("b", b""))


def add(store: Store, name: str = "corpus", **more: object) -> Added | NotTheOwner:
    values: dict[str, object] = {
        "name": name, "owner": "lab", "files": FILES, "licence": "", "residency": (),
        "price_micros_per_gb": None,
        "replica": Replica(site="basin", url="file:///x", added_ms=NOW), "now_ms": NOW,
    }  # fmt: skip
    return add_dataset(store, **(values | more))  # type: ignore[arg-type]


def test_other_bytes_or_terms_are_a_new_version(store: Store) -> None:
    made = [
        add(store),
        add(store, replica=Replica(site="harbor", url="file:///y", added_ms=NOW)),
        add(store, licence="MIT"),
        add(store, licence="MIT", price_micros_per_gb=0),
        add(store, licence="MIT", price_micros_per_gb=0, files=FILES[:1]),
    ]
    assert all(isinstance(one, Added) for one in made)
    assert [(one.dataset.version, one.created) for one in made if isinstance(one, Added)] == [
        (1, True), (1, False), (2, True), (3, True), (4, True),
    ]  # fmt: skip
    assert isinstance(add(store, owner="other"), NotTheOwner)
    assert copies_of(store, {("corpus", 1), ("corpus", 4), ("none", 1)}) == {
        ("corpus", 1): ("basin", "harbor"), ("corpus", 4): ("basin",), ("none", 1): (),
    }  # fmt: skip


def running(store: Store, network: Network, **more: object) -> tuple[str, int]:
    """A live run at harbor of a job that reads corpus: (run id, token)."""
    hello(store, Hello(site="harbor", agent_id="agt", pools=()), NOW)
    values: dict[str, object] = {
        "job_id": "job_1", "name": "n", "submit_ms": NOW, "duration_ms": 60_000,
        "options": (ResourceOption(cpus_milli=1000),), "work": Work(run="train"),
        "datasets": (DataInput(dataset="corpus", target="t"),), "account": "lab",
    }  # fmt: skip
    job = pin_data(store, JobSpec(**(values | more)), "j")  # type: ignore[arg-type]
    submit_jobs(store, [Submission(job=job, body_digest="x")], NOW)
    again = True
    while again:  # bound for when its data are there; then granted, for them to come
        active = load_active(store)
        copies = copies_of(store, references([one.job for one in active.records]))
        statuses = live_pools(network, list_sites(store), NOW - TTL)
        before = situation(network, NOW, active, statuses, NOW, copies=copies)
        decided = plan(before.snapshot, before.to_place, POLICY, NOW)
        again = apply_plan(store, decided, before, TTL, NOW).plan_again
    record = load_job(store, "job_1")
    assert record is not None
    return record.runs[0].run_id, record.runs[0].token


def moved(token: int, sequence: int, size_bytes: int) -> DataMoved:
    return DataMoved(
        token=token, sequence=sequence, dataset="corpus", version=1, source_site="basin",
        size_bytes=size_bytes, wall_ms=10,
    )  # fmt: skip


def staged(token: int, digest: str) -> DataStaged:
    return DataStaged(
        token=token, dataset="corpus", version=1, digest=digest, source_site="basin", cached=False
    )


def test_a_run_is_granted_by_as_long_as_its_data_take_before_its_start(
    store: Store, network: Network
) -> None:
    large = DataFile(path="a", size_bytes=5 * GB, sha256="a" * 64)
    add(store, files=(large,))
    running(store, network)
    record = load_job(store, "job_1")
    assert record is not None
    assert record.bound is not None
    assert record.bound.planned_start_ms - NOW == 4_000, "5 GB over 10 Gbit/s"
    assert (record.bound.not_before_ms, record.runs[0].granted_ms) == (NOW, NOW)


def test_the_time_its_data_take_is_no_wait_in_a_sites_own_queue(
    store: Store, network: Network
) -> None:
    pools = tuple(replace(pool, managed=pool.site != "harbor") for pool in network.pools)
    own = replace(network, pools=pools)
    added = add(store)
    run_id, token = running(store, network)
    poll_site(store, "harbor", 1, (), TTL, NOW)

    def told(at_ms: int) -> int:
        return site_waits(store, own, load_active(store).records, at_ms)["harbor-east"][0]

    assert told(NOW + 5_000) == 0, "its data are on their way"
    give_source(store, network, run_id, DataAsk(token=token, dataset="corpus", version=1), NOW)
    note_staged(store, run_id, staged(token, added.dataset.digest), NOW + 5_000)
    assert told(NOW + 8_000) == 2 * 3_000
    report_run(store, run_id, events.RunStarted(run_id=run_id, token=token), NOW + 9_000)
    assert told(NOW + 9_000) == pytest.approx(4_000, abs=1)


def test_who_holds_a_run_is_read_without_locking_it(store: Store, network: Network) -> None:
    """On PostgreSQL a transaction that only reads may not lock a row."""
    add(store)
    run_id, token = running(store, network)
    assert holder(store, run_id, token) == "job_1"
    reader = reader_of(store, run_id, token)
    assert isinstance(reader, Reader)
    assert (reader.job_id, reader.run_id) == ("job_1", run_id)
    assert isinstance(holder(store, run_id, token + 1), Ignored)
    assert isinstance(reader_of(store, run_id, token + 1), Ignored)


def test_the_proof_is_written_before_a_source_is_given(store: Store, network: Network) -> None:
    rule = TagRule(key="country", values=("XX",))
    added = add(store, residency=(rule,))
    assert isinstance(added, Added)
    run_id, token = running(store, network)
    refused = note_staged(store, run_id, staged(token, added.dataset.digest), NOW)
    assert isinstance(refused, Ignored)
    assert refused.code == "not-asked"
    ask = DataAsk(token=token, dataset="corpus", version=1)
    answer = give_source(store, network, run_id, ask, NOW + 5)
    assert isinstance(answer, DataSource)
    assert (answer.site, manifest_digest(answer.files)) == ("basin", added.dataset.digest)
    (use,) = load_uses(store, "job_1")
    assert (use.terms, use.tags) == ((rule,), (("country", "XX"),))
    assert (use.checked_ms, use.staged_ms) == (NOW + 5, None)
    assert note_staged(store, run_id, staged(token, "f" * 64), NOW + 6) is not None
    assert note_staged(store, run_id, staged(token, added.dataset.digest), NOW + 7) is None
    assert note_staged(store, run_id, staged(token, added.dataset.digest), NOW + 8) is None
    assert load_uses(store, "job_1")[0].staged_ms == NOW + 7
    assert isinstance(give_source(store, network, run_id, replace(ask, token=99), NOW), Ignored)


def test_no_source_is_given_where_the_terms_no_longer_hold(store: Store, network: Network) -> None:
    add(store, residency=(TagRule(key="country", values=("XX",)),))
    run_id, token = running(store, network)
    abroad = replace(
        network, sites=tuple(replace(one, tags=(("country", "YY"),)) for one in network.sites)
    )
    ask = DataAsk(token=token, dataset="corpus", version=1)
    answer = give_source(store, abroad, run_id, ask, NOW)
    assert isinstance(answer, DataSource)
    assert (answer.site, answer.files) == ("", ())
    assert answer.reason == "corpus@1 may not come to harbor: country must be XX"
    assert load_uses(store, "job_1") == ()


def test_a_run_is_given_only_what_its_job_reads(store: Store, network: Network) -> None:
    add(store)
    run_id, token = running(store, network)
    other = DataAsk(token=token, dataset="another", version=1)
    answer = give_source(store, network, run_id, other, NOW)
    assert isinstance(answer, DataSource)
    assert (answer.site, answer.reason) == ("", "the job does not read another@1")


def test_a_copy_found_wrong_is_suspect_until_it_is_given_again(
    store: Store, network: Network
) -> None:
    add(store)
    run_id, token = running(store, network)
    told = DataAsk(
        token=token, dataset="corpus", version=1, refused=("basin",), suspect=True, problem="rot"
    )
    answer = give_source(store, network, run_id, told, NOW)
    assert isinstance(answer, DataSource)
    assert answer.site == ""
    found = load_dataset(store, "corpus")
    assert found is not None
    assert found.replicas[0].suspect == "rot"
    add_replica(store, "corpus", 1, Replica(site="basin", url="file:///z", added_ms=NOW))
    found = load_dataset(store, "corpus")
    assert found is not None
    assert found.replicas[0].suspect is None


def test_bytes_are_counted_once_and_paid(store: Store, network: Network) -> None:
    added = add(store, price_micros_per_gb=7_000_000_000)
    assert isinstance(added, Added)
    run_id, token = running(store, network)
    ask = DataAsk(token=token, dataset="corpus", version=1)
    give_source(store, network, run_id, ask, NOW)
    for _ in range(2):
        assert record_move(store, run_id, moved(token, 0, 2 * GB), NOW) is None
    assert record_move(store, run_id, moved(token, 1, GB), NOW) is None
    assert isinstance(record_move(store, run_id, moved(token + 1, 2, GB), NOW), Ignored)
    assert [one.size_bytes for one in load_moved(store, "job_1")] == [3 * GB]
    note_staged(store, run_id, staged(token, added.dataset.digest), NOW)
    begun = events.RunStarted(run_id=run_id, token=token, ago_ms=0)
    report_run(store, run_id, begun, NOW + 1)
    over = events.RunEnded(run_id=run_id, token=token, outcome="succeeded", exit_code=0, detail="")
    apply_event(store, "job_1", over, NOW + 2)
    late = record_move(store, run_id, moved(token, 2, GB), NOW + 3)
    assert isinstance(late, Ignored)
    assert late.code == "run-over"
    again = record_move(store, run_id, moved(token, 1, GB), NOW + 3)
    assert isinstance(again, Ignored)
    assert again.code == "repeat"
    (ended,) = unsettled_runs(store)
    bill = run_charge(store, network, PURSE, ended).bill
    assert bill.transfer_micros == 3 * price_of(network, "basin", "harbor")
    assert bill.data_micros == 7_000_000_000 * 1000 // GB
    parts = bill.device_micros + bill.power_micros + bill.transfer_micros + bill.data_micros
    assert bill.total_micros == parts + bill.rounding_micros


def test_an_output_is_published_once(store: Store, network: Network) -> None:
    add(store, residency=(TagRule(key="country", values=("XX", "YY")),))
    run_id, token = running(store, network)
    message = DataPublished(token=token, dataset="weights", url="file:///w", files=FILES)
    first = publish(store, run_id, message, NOW)
    again = publish(store, run_id, message, NOW + 1)
    assert isinstance(first, DataSet)
    assert isinstance(again, DataSet)
    assert (first.version, again.version) == (1, 1)
    assert first.residency == (TagRule(key="country", values=("XX", "YY")),)
    assert (first.owner, first.licence, first.price_micros_per_gb) == ("lab", "", None)
    made = first.provenance
    assert made is not None
    assert made.run_sha256 == hashlib.sha256(b"train").hexdigest()
    assert [(one.dataset, one.version) for one in made.inputs] == [("corpus", 1)]
    theirs = add(store, name="theirs", owner="other")
    assert isinstance(theirs, Added)
    refused = publish(store, run_id, replace(message, dataset="theirs"), NOW)
    assert isinstance(refused, Ignored)
    assert refused.code == "not-the-owner"

"""Offers: hours, the site's file, what the network can take, and the network they make."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.twin.cases import case
from tests.twin.twin_filters import refusal_codes
from westward.agent.engines.cannot import CANNOT, lacks
from westward.agent.joining import site_text
from westward.agent.site_file import SiteFile, read_site_file
from westward.model.faults import InputFaults
from westward.model.job import DataInput, DataOutput, FileMount, JobSpec, ResourceOption, Work
from westward.model.network import Network
from westward.model.offer import (
    DiscoveredPool,
    Enrolled,
    FolderPool,
    Invitation,
    PoolOffer,
    SiteOffer,
)
from westward.model.plan import Policy, idle_snapshot
from westward.model.reasons import Code
from westward.network.hours import open_at, parse_window, parse_zone
from westward.network.loader import load_network
from westward.network.offer_check import check_offer
from westward.network.overlay import Joined, closed, overlay
from westward.placement import plan
from westward.placement.filters import latency_one_way_ms, offer_reasons

LAPTOP = Path(__file__).resolve().parents[2] / "networks" / "laptop"


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# 2026-11-20 is a Friday.
@pytest.mark.parametrize(
    ("hours", "zone", "at", "is_open"),
    [
        ((), "+00:00", "2026-11-20T12:00", True),
        (("Fri 12:00-13:00",), "+00:00", "2026-11-20T12:00", True),
        (("Fri 12:00-13:00",), "+00:00", "2026-11-20T12:59:59", True),
        (("Fri 12:00-13:00",), "+00:00", "2026-11-20T13:00", False),
        (("Fri 12:00-13:00",), "+00:00", "2026-11-19T12:30", False),
        (("Fri 18:00-08:00",), "+00:00", "2026-11-21T07:59", True),
        (("Fri 18:00-08:00",), "+00:00", "2026-11-21T08:00", False),
        (("Fri 18:00-08:00",), "+00:00", "2026-11-20T07:59", False),
        (("Sun 23:00-01:00",), "+00:00", "2026-11-23T00:30", True),
        (("Sat,Sun 00:00-24:00",), "+00:00", "2026-11-22T23:59", True),
        (("Sat,Sun 00:00-24:00",), "+00:00", "2026-11-23T00:00", False),
        (("Fri-Mon 00:00-24:00",), "+00:00", "2026-11-23T10:00", True),
        (("Fri-Mon 00:00-24:00",), "+00:00", "2026-11-24T10:00", False),
        (("daily 20:00-06:00",), "+08:00", "2026-11-20T12:00", True),
        (("daily 20:00-06:00",), "+08:00", "2026-11-20T11:59", False),
        (("daily 20:00-06:00",), "-05:30", "2026-11-20T01:30", True),
        (("Mon 01:00-02:00", "Fri 09:00-10:00"), "+00:00", "2026-11-20T09:30", True),
    ],
)
def test_hours(hours: tuple[str, ...], zone: str, at: str, is_open: bool) -> None:
    assert open_at(hours, zone, ms(at)) is is_open


@pytest.mark.parametrize(
    "text",
    ["", "Mon", "Mon 8-9", "Mon 08:00-08:00", "Mon 25:00-26:00", "Mon 08:61-09:00", "Mo 08:00-09:00",
     "Mon-Xyz 08:00-09:00", "Mon 24:00-08:00", "Mon,, 08:00-09:00"],
)  # fmt: skip
def test_bad_hours_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ .*"):
        parse_window(text)


def test_time_zones() -> None:
    for good in ("+00:00", "-03:30", "+14:00", "UTC"):
        parse_zone(good)
    for bad in ("+15:00", "+08:75", "8", "Mars/Base", "../../etc/passwd", ""):
        with pytest.raises(ValueError, match="no time zone"):
            parse_zone(bad)


# -- the network with offers over it


def pool(name: str = "lab-a", **terms: object) -> PoolOffer:
    shape: dict[str, object] = {
        "name": name, "nodes": 2, "cpus_per_node": 8, "memory_mib_per_node": 1024,
        "price_micros_per_device_hour": 10, "power_w_per_device": 40.0, **terms,
    }  # fmt: skip
    return PoolOffer(**shape)  # type: ignore[arg-type]


def offer(*pools: PoolOffer, site: str = "lab", **terms: object) -> SiteOffer:
    return SiteOffer(site=site, engine="local", pools=pools, **terms)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder() -> Network:
    return load_network(LAPTOP)


LAB = Invitation(site="lab", zone="coast", place="city", tags=(("province", "X"),))


def test_nothing_offered_is_the_folder_itself(folder: Network) -> None:
    assert overlay(folder, []) is folder


def test_a_new_site_is_what_invitation_and_offer_say(folder: Network) -> None:
    said = offer(pool(accounts=("a",)), pue=1.2, operator="me")
    net = overlay(folder, [Joined(invitation=LAB, offer=said, since="2026-11-22")])
    site = net.site("lab")
    assert (site.zone, site.pue, site.operator, site.tag("province")) == ("coast", 1.2, "me", "X")
    made = net.pool("lab-a")
    assert (made.capacity_milli, made.devices_per_node, made.accounts) == (16_000, 8, ("a",))
    assert made.managed
    assert [one.name for one in net.pools] == sorted(one.name for one in net.pools)
    assert [one.name for one in net.sites] == sorted(one.name for one in net.sites)
    assert net.digest != folder.digest
    facts = {fact.attribute: fact for fact in net.facts if fact.name == "lab-a"}
    assert facts["nodes"].value == "2"
    assert facts["nodes"].source == "offer of site lab"
    assert "devices_per_node" not in facts, "a blank is no fact"
    # It stands in the city: latencies are the city's, moving data is of unknown cost.
    assert latency_one_way_ms(net, "lab", "city") == 0.0
    for other in ("basin", "harbor", "plateau"):
        assert latency_one_way_ms(net, "lab", other) == latency_one_way_ms(folder, "city", other)
        link = net.link("lab", other)
        assert link is not None
        assert (link.bandwidth_gbps, link.price_micros_per_gb) == (None, None)
    slurm = replace(said, engine="slurm")
    net = overlay(folder, [Joined(invitation=LAB, offer=slurm, since="2026-11-22")])
    assert not net.pool("lab-a").managed


def test_without_a_place_or_an_offer(folder: Network) -> None:
    nowhere = Invitation(site="lab", zone="coast")
    net = overlay(folder, [Joined(invitation=nowhere, offer=None, since="2026-11-22")])
    assert net.site("lab").lat_deg is None
    assert latency_one_way_ms(net, "lab", "city") is None
    assert net.pools == folder.pools


def test_a_site_of_the_folder_keeps_its_facts(folder: Network) -> None:
    said = offer(
        PoolOffer(name="basin-west", price_micros_per_device_hour=7, purposes=("p",)), site="basin"
    )
    net = overlay(folder, [Joined(invitation=Invitation(site="basin"), offer=said, since="2026")])
    before, after = folder.pool("basin-west"), net.pool("basin-west")
    assert after == replace(before, price_micros_per_device_hour=7, purposes=("p",))
    assert net.sites == folder.sites
    blank = offer(PoolOffer(name="basin-west"), site="basin")
    net = overlay(folder, [Joined(invitation=Invitation(site="basin"), offer=blank, since="2026")])
    assert net.pool("basin-west") == before


def test_the_stricter_word_closes_a_pool() -> None:
    now = ms("2026-11-20T12:00")
    said = offer(pool("a"), pool("b", hours=("Fri 18:00-20:00",)), pool("c", status="draining"))
    assert closed(said, {}, now) == {"b": "cordoned", "c": "draining"}
    assert closed(said, {"a": "cordoned"}, now) == {
        "a": "cordoned", "b": "cordoned", "c": "draining",
    }  # fmt: skip
    everything = closed(replace(said, status="draining"), {"": "cordoned"}, now)
    assert set(everything.values()) == {"draining"}
    assert closed(said, {"": "open"}, ms("2026-11-20T19:00")) == {"c": "draining"}


def test_what_the_network_cannot_take_is_told_at_once(folder: Network) -> None:
    bad = offer(
        pool("harbor-east", accelerator="eastcard", price_micros_per_device_hour=-1),
        pool("ok", hours=("never",), nodes=0, power_w_per_device=-1.0),
        pool("ok", status="shut", cpus_per_node=None),
        pool("a b", accounts=("a\x1b[2J",), nodes=10**8),
        pue=0.5,
        operator="x" * 201,
        time_zone="Mars",
    )
    faults = {fault.field: fault for fault in check_offer(bad, LAB, folder, {"harbor-east": "it"})}
    assert set(faults) == {
        "time_zone", "pue", "pools[0].name", "pools[0].accelerator", "pools[0].devices_per_node",
        "pools[0].price_per_device_hour", "pools[1].hours[0]", "pools[1].nodes",
        "pools[1].power_w_per_device", "pools[2].name", "pools[2].status",
        "pools[2].cpus_per_node", "pools[3].name",
        "pools[3].accounts[0]", "pools[3].nodes", "operator",
    }  # fmt: skip
    assert "Did you mean east-card?" in faults["pools[0].accelerator"].remedy
    assert check_offer(offer(pool(), pue=1.2), LAB, folder, {}) == ()


def test_a_site_of_the_folder_cannot_change_its_facts(folder: Network) -> None:
    bad = offer(
        PoolOffer(name="basin-west", nodes=9), PoolOffer(name="other"), site="basin", pue=1.1
    )
    found = check_offer(replace(bad, engine="slurm"), Invitation(site="basin"), folder, {})
    assert {fault.field for fault in found} == {
        "pue", "engine", "pools[0].nodes", "pools[1].name",
    }  # fmt: skip


def test_accounts_and_purposes_are_hard_constraints(folder: Network) -> None:
    limited = replace(folder.pools[0], accounts=("a", "b"), purposes=("p",))
    job = JobSpec(job_id="j", name="", submit_ms=0, options=(ResourceOption(cpus_milli=1),))
    assert [one.code for one in offer_reasons(job, limited)] == [Code.ACCOUNT, Code.PURPOSE]
    assert offer_reasons(replace(job, account="b", purpose="p"), limited) == ()
    assert offer_reasons(job, folder.pools[0]) == ()
    (reason,) = offer_reasons(replace(job, account="c", purpose="p"), limited)
    assert "asked c, there is a or b" in str(reason)


@pytest.mark.parametrize(
    "asks",
    [
        {"outputs": (DataOutput(path="out", dataset="d"),)},
        {"datasets": (DataInput(dataset="d", target="t"),)},
        {"work": Work(workdir=".")},
        {"work": Work(file_mounts=(FileMount(target="a", source="/b"),))},
    ],
)
def test_no_job_with_files_goes_where_the_engine_brings_none(
    folder: Network, asks: dict[str, Any]
) -> None:
    plain = JobSpec(job_id="j", name="", submit_ms=0, options=(ResourceOption(cpus_milli=1),))
    job = replace(plain, **asks)
    lacking = replace(
        folder, pools=tuple(replace(pool, lacks=("files", "gangs")) for pool in folder.pools)
    )
    snapshot = idle_snapshot(lacking, 0)
    assert len(plan(snapshot, [plain], Policy(), 0).placements) == 1
    (refused,) = plan(snapshot, [job], Policy(), 0).refusals
    for one in refused.alternatives:
        assert [reason.code for reason in one.reasons] == [Code.NO_FILES]
    first = replace(lacking.pools[0], lacks=("gangs",))
    other = replace(snapshot, network=replace(lacking, pools=(first, *lacking.pools[1:])))
    (placed,) = plan(other, [job], Policy(), 0).placements
    assert placed.estimate.pool == first.name


def test_no_gang_goes_where_the_engine_runs_none(folder: Network) -> None:
    job = JobSpec(
        job_id="j", name="", submit_ms=0, nodes=2, options=(ResourceOption(cpus_milli=1),)
    )
    lacking = replace(folder, pools=tuple(replace(pool, lacks=("gangs",)) for pool in folder.pools))
    (refused,) = plan(idle_snapshot(lacking, 0), [job], Policy(), 0).refusals
    codes = {reason.code for one in refused.alternatives for reason in one.reasons}
    assert Code.NO_GANGS in codes
    assert refused.relaxation is not None
    assert refused.relaxation.change == "num_nodes: 1"


def test_what_an_engine_lacks_is_told_with_its_offer(folder: Network) -> None:
    assert {name: lacks(name) for name in CANNOT} == {
        "local": (), "slurm": (), "ray": ("files", "gangs"), "kubernetes": ("files",),
    }  # fmt: skip
    assert lacks("somebody's own") == ()
    told = replace(offer(PoolOffer(name="basin-west"), site="basin"), lacks=("files",))
    joined = Joined(invitation=Invitation(site="basin"), offer=told, since="2026-01-31")
    assert overlay(folder, [joined]).pool("basin-west").lacks == ("files",)
    new = replace(offer(pool(), site="lab"), engine="ray", lacks=lacks("ray"))
    joined = Joined(invitation=Invitation(site="lab", zone="coast"), offer=new, since="2026-01-31")
    (made,) = (one for one in overlay(folder, [joined]).pools if one.site == "lab")
    assert made.lacks == ("files", "gangs")


def test_the_random_worlds_of_the_planner_meet_such_limits() -> None:
    """tests/properties/test_placement.py holds plan() to the twin's verdict on these."""
    met = {Code.ACCOUNT: 0, Code.PURPOSE: 0, Code.NO_FILES: 0, Code.NO_GANGS: 0, None: 0}
    for seed in range(300):
        one = case(seed)
        for job in one.jobs:
            for each in one.snapshot.network.pools:
                codes = refusal_codes(job, each, one.snapshot.network, True)
                for code in (Code.ACCOUNT, Code.PURPOSE, Code.NO_FILES, Code.NO_GANGS):
                    met[code] += code in codes
                met[None] += bool(each.accounts) and Code.ACCOUNT not in codes
    assert min(met.values()) >= 50, met


# -- the site's own file

GOOD = """\
site: lab
engine: slurm
options: {partition: gpu, grace_ms: 500}
pue: 1.25
time_zone: +08:00
hours: ["Mon-Fri 18:00-08:00"]
accounts: [lab-7, 12]
pools:
  - name: lab-gpu
    engine_pool: gpu
    accelerator: A100
    nodes: 2
    devices_per_node: 8
    cpus_per_node: 64
    memory_mib_per_node: 512000
    power_w_per_device: 400.5
    price_per_device_hour: 1.234567
  - name: lab-cpu
    nodes: 1
    cpus_per_node: 4
    memory_mib_per_node: 4096
    price_per_device_hour:
    status: draining
    hours: []
    accounts: [other]
"""


def test_a_good_file() -> None:
    read = read_site_file(GOOD, "lab")
    first, second = read.offer.pools
    assert (read.engine, read.options) == ("slurm", (("partition", "gpu"), ("grace_ms", "500")))
    assert read.engine_pools == {"lab-gpu": "gpu"}
    assert first.price_micros_per_device_hour == 1_234_567
    assert (first.hours, first.accounts) == (("Mon-Fri 18:00-08:00",), ("lab-7", "12"))
    assert (second.hours, second.accounts, second.status) == ((), ("other",), "draining")
    assert second.price_micros_per_device_hour is None, "a blank stays blank"
    assert (read.offer.pue, read.offer.time_zone) == (1.25, "+08:00")


def faults_of(text: str, site: str = "lab") -> dict[str, int | None]:
    with pytest.raises(InputFaults) as caught:
        read_site_file(text, site)
    return {fault.field: fault.row for fault in caught.value.faults}


def test_every_fault_with_its_row() -> None:
    bad = (
        GOOD.replace("site: lab", "site: den")
        .replace("pue: 1.25", "pue: much")
        .replace("accounts: [lab-7, 12]", "acounts: [lab-7]")
        .replace("nodes: 2", "nodes: two")
        .replace("1.234567", "1.2345678")
        .replace("name: lab-cpu", "name: lab-gpu")
        .replace("status: draining", "status: shut")
        .replace('["Mon-Fri 18:00-08:00"]', '["Mon-Fri"]')
    )
    assert faults_of(bad) == {
        "site": 1, "pue": 4, "hours[0]": 6, "acounts": 7, "pools[0].nodes": 12,
        "pools[0].price_per_device_hour": 17, "pools[1].name": 18, "pools[1].status": 23,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", ""),
        ("- a\n", ""),
        ("site: [\n", ""),
        ("site: lab\nengine:\n", "engine"),
        ("site: lab\nengine: local\npools: many\n", "pools"),
        ("site: lab\nengine: local\npools: [x]\n", "pools[0]"),
        ("site: lab\nengine: local\noptions: [x]\n", "options"),
        ("site: lab\nengine: {a: b}\n", "engine"),
        ("site: lab\nengine: local\naccounts: [{a: b}]\n", "accounts[0]"),
        ("site: lab\nengine: local\npools:\n  - nodes: 1\n", "pools[0].name"),
        ("site: lab\nengine: local\ntime_zone: Mars\n", "time_zone"),
    ],
)
def test_files_that_are_no_offer(text: str, field: str) -> None:
    assert field in faults_of(text)


def test_the_server_s_faults_get_their_rows(folder: Network) -> None:
    read = read_site_file(GOOD, "lab")
    found = [read.placed(one) for one in check_offer(read.offer, LAB, folder, {})]
    assert {fault.field: fault.row for fault in found} == {"pools[0].accelerator": 11}


ENROLLED = Enrolled(
    site="lab", network="n", currency="CNY", accelerators=("A100",), in_folder=False
)
FOUND = (
    DiscoveredPool(name="gpu part", nodes=2, accelerator="A100", devices_per_node=8,
                   cpus_milli_per_node=64_000, memory_mib_per_node=1000, labels=(("a", "b\nc"),)),
    DiscoveredPool(name="odd", nodes=1),
)  # fmt: skip


def test_the_file_written_at_joining_can_be_read_and_invents_nothing() -> None:
    text = site_text(ENROLLED, "slurm", [("partition", "gpu")], FOUND)
    read: SiteFile = read_site_file(text, "lab")
    first, second = read.offer.pools
    assert (first.name, read.engine_pools[first.name]) == ("lab-gpu-part", "gpu part")
    assert (first.nodes, first.devices_per_node, first.cpus_per_node) == (2, 8, 64)
    assert (first.price_micros_per_device_hour, first.power_w_per_device) == (None, None)
    assert (second.cpus_per_node, second.memory_mib_per_node, read.offer.pue) == (None, None, None)
    assert read.options == (("partition", "gpu"),)
    priced = site_text(ENROLLED, "local", [], FOUND, price="0.5", power_w="40", pue="1.3")
    assert read_site_file(priced, "lab").offer.pools[0].price_micros_per_device_hour == 500_000
    own = FolderPool(name="p", engine="local", accelerator=None, nodes=1, devices_per_node=2)
    folder_site = replace(ENROLLED, in_folder=True, folder_pools=(own,))
    read = read_site_file(site_text(folder_site, "local", [], FOUND[:1]), "lab")
    assert read.offer.pools == (PoolOffer(name="p"),)
    assert read_site_file(site_text(ENROLLED, "local", [], ()), "lab").offer.pools == ()

"""Every reader of outside text, with good examples to start from and a way to spoil them.

A subject is a function of one file's bytes (in a folder that is otherwise whole). It may answer, or
refuse in the way it promises; whatever else it raises is a finding.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.hostile.nasty import NUMBERS, TEXTS, deep_list
from westward.agent import credential
from westward.agent.joining import load_link
from westward.agent.site_file import read_site_file
from westward.formats.sbatch import read_sbatch
from westward.formats.sbatch_reader import Choices
from westward.formats.skypilot import read_task
from westward.formats.task_set import read_tasks
from westward.formats.tes import read_tes
from westward.formats.tes_model import read_document
from westward.formats.traces import TraceOptions, describe_file, read_workload
from westward.formats.traces.registry import BY_NAME
from westward.model import wire
from westward.model.faults import InputFaults
from westward.model.job import JobSpec
from westward.model.offer import Invitation, SiteOffer
from westward.network.check import check_network
from westward.network.entity_files import load_play
from westward.network.loader import load_network
from westward.network.offer_check import check_offer
from westward.network.voucher_files import read_voucher_folder
from westward.server.errors import ApiError
from westward.server.job_limits import check_job
from westward.server.limits import check_message
from westward.store.codec import to_json
from westward.study.reader import read_study

ROOT = Path(__file__).parents[2]
LAPTOP = ROOT / "networks" / "laptop"
WIDE = ROOT / "networks" / "east-west"
SMALL = ROOT / "tests" / "broken" / "_small-network"
CASE_CPU_S = 20.0
"""Processor time that one case may take. Cases are small: none needs a second."""


class TooLong(BaseException):
    """A case that does not end."""


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Raises TooLong where the body takes CASE_CPU_S of processor time, however busy the machine."""

    def over(_number: int, _frame: object) -> None:
        raise TooLong(f"{what}: more than {CASE_CPU_S} s of processor time")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, CASE_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass(frozen=True)
class Subject:
    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    """Gets the bytes, and a scratch folder of its own that stays for the whole test."""
    refusals: tuple[type[Exception], ...] = (InputFaults,)


def _text(read: Callable[[str], object]) -> Callable[[bytes, Path], object]:
    """Of what reads text: bytes that are no UTF-8 never get so far."""
    return lambda data, _folder: read(data.decode("utf-8", errors="replace"))


def _in_folder(
    source: Path, file: str, read: Callable[[Path], object], only: tuple[str, ...] = ()
) -> Callable[[bytes, Path], object]:
    """``only``: what else of ``source`` lies beside the file; empty: all."""

    def run(data: bytes, folder: Path) -> object:
        net = folder / "net"
        if not net.exists() and only:
            net.mkdir()
            for name in only:
                shutil.copy(source / name, net)
        elif not net.exists():
            shutil.copytree(source, net)
        path = net / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            return read(net)
        finally:
            shutil.copy(source / file, path)

    return run


def _networks() -> Iterator[Subject]:
    for source in (SMALL, WIDE):
        for path in sorted(source.rglob("*")):
            if not path.is_file() or "vouchers" in path.parts or path.name == "entities.yaml":
                continue
            if source is WIDE and path.suffix == ".csv" and path.stat().st_size > 20_000:
                continue
            file = str(path.relative_to(source))

            def read(net: Path) -> object:
                return check_network(load_network(net), net)

            yield Subject(
                f"network {source.name}/{file}",
                (path.read_bytes(),),
                _in_folder(source, file, read),
            )


BESIDE_A_RULE = ("sources.yaml", "shanghai-compute.yaml")
"""Every rule names sources, one names that rule: whole folders are seven times as slow to read."""


def _vouchers() -> Iterator[Subject]:
    folder = WIDE / "vouchers"
    for path in sorted(folder.glob("*.yaml")):
        yield Subject(
            f"voucher {path.name}", (path.read_bytes(),),
            _in_folder(folder, path.name, read_voucher_folder, BESIDE_A_RULE),
        )  # fmt: skip
    network, rules = load_network(WIDE), read_voucher_folder(folder)
    yield Subject(
        "entities.yaml", ((WIDE / "entities.yaml").read_bytes(),),
        _in_folder(WIDE, "entities.yaml", lambda net: load_play(net, network, rules)),
    )  # fmt: skip


JOB = b"""name: job
resources:
  accelerators: A100:8
  cpus: 4+
  memory: 32GB
  any_of: [{infra: slurm}, {infra: k8s}]
  labels: {westward.duration: 2h, westward.deadline: 3d, westward.home: harbor}
num_nodes: 2
envs: {EPOCHS: "10"}
setup: pip list
run: |
  python train.py --epochs $EPOCHS
"""


TERMS = rb"""name: "terms"
resources:
  cpus: 1
  labels:
    westward.outputs: "model=weights,.=all"
    westward.checkpoint: "state/last.json every 1s grace 5s"
    westward.inputs: "dataset:corpus@2=data/corpus,harbor=10GB"
    westward.residency: "country=CN,province=Gansu|Ningxia"
    westward.latency: "coast<=20ms rtt"
    mine: "a\u00e9b"
workdir: "/srv/code"
file_mounts: {"in/a\u00e9.csv": "/srv/a.csv", "~/b": {source: "/srv/b", mode: "COPY"}}
envs: {"A": "1\t2"}
run: "echo \"$A\""
"""


def as_kept(job: JobSpec) -> str:
    """As the database keeps it: what is taken can be written down."""
    return to_json(job)


def _jobs() -> Iterator[Subject]:
    own = [*(ROOT / "examples").glob("*.yaml"), *(ROOT / "tests/broken/jobs").glob("*.yaml")]
    corpus = (ROOT / "tests/parity_skypilot/corpus").rglob("*.yaml")

    def read(text: str) -> object:
        job = read_task(
            text, file="job.yaml", job_id="job_1", now_ms=1_800_000_000_000, base_dir=ROOT
        )
        return as_kept(check_job(job, "job.yaml"))

    def read_several(text: str) -> object:
        named = read_tasks(
            text, file="job.yaml", job_id="job_1", now_ms=1_800_000_000_000, base_dir=ROOT
        )
        return [as_kept(check_job(one.job, "job.yaml")) for one in named]

    texts = (*(path.read_bytes() for path in sorted(own)), JOB, TERMS)
    yield Subject("job YAML", texts, _text(read))
    yield Subject("job YAML, several", (*(b"---\n".join(texts[i : i + 2]) for i in range(0, 20, 2)), JOB + b"---\nname: b\nresources: {labels: {westward.after: job}}\nrun: echo\n"), _text(read_several))  # fmt: skip
    yield Subject("SkyPilot", tuple(path.read_bytes() for path in sorted(corpus)), _text(read_several))  # fmt: skip


SBATCH = """#!/bin/bash
#SBATCH --job-name=train
#SBATCH --nodes=2 --ntasks-per-node=4
#SBATCH -c 4
#SBATCH --gres=gpu:a100:4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=1-02:03:04
#SBATCH --begin=now+1hour --deadline=2027-01-01T00:00:00
#SBATCH --dependency=afterok:1:2
#SBATCH --export=ALL,A=1,B="x y"
#SBATCH --output=out-%A_%a.txt
#SBATCH --signal=B:USR1@60 --requeue
module load cuda
srun python train.py "$@"
"""


def _sbatch() -> Iterator[Subject]:
    seeds = (SBATCH.encode(), b"#!/bin/sh\n#SBATCH -N1 -t 5\ntrue\n")
    choices = Choices(workdir=None)
    yield Subject(
        "sbatch", seeds, _text(lambda text: read_sbatch(text, file="job.sh", choices=choices))
    )


TES_TASK = {
    "name": "sort", "description": "x", "tags": {"a": "b"},
    "inputs": [{"url": "file:///a", "path": "/in/a", "type": "FILE"}, {"content": "x", "path": "/b"}],
    "outputs": [{"url": "file:///o", "path": "/out", "type": "DIRECTORY", "path_prefix": "/"}],
    "volumes": ["/v"],
    "resources": {
        "cpu_cores": 2, "ram_gb": 1.5, "disk_gb": 3, "preemptible": True, "zones": ["harbor"],
        "backend_parameters": {"account": "x", "duration": "1h"},
    },
    "executors": [
        {
            "image": "host", "command": ["sh", "-c", "true"], "workdir": "/w", "stdin": "/in/a",
            "stdout": "/out/o", "stderr": "/out/e", "env": {"A": "1"}, "ignore_error": True,
        },
    ],
}  # fmt: skip


def _tes() -> Iterator[Subject]:
    def read(data: bytes, _folder: Path) -> object:
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):  # as the route does
            return None
        task = read_document(body)
        made = read_tes(task, job_id="job_tes", now_ms=1_800_000_000_000, host_images=(), word="w")
        return as_kept(check_job(made.job, "task"))

    yield Subject("TES", (json.dumps(TES_TASK).encode(),), read)


TRACES: dict[str, tuple[str, ...]] = {
    "swf": ("; Version: 2\n; MaxNodes: 4\n1 0 5 10 2 -1 -1 2 20 -1 1 1 1 1 1 1 -1 -1\n2 3 -1 7 1 -1 -1 -1 9 -1 0 1 1 1 1 1 -1 -1\n",),
    "philly": (
        "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 07:01:55,66.0,12,792.0,b\n"
        "2017-10-09 06:00:00,1.5,1,1.5,a\n",
    ),
    "sia": ("name,time,application,num_replicas,batch_size\na-0,1.5,bert,2,8\nb-1,5,bert,4,8\n",),
    "gaia": ("arrival_time,length,cpus\n0.5,3.25,1\n5.5,7.0,2\n",),
    "openb": (
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,"
        "deletion_time,scheduled_time\npod-1,1000,1024,1,500,V100,LS,Succeeded,0,10,2\n"
        "pod-2,2000,1024,2,1000,,BE,Succeeded,1,20,3\n",
    ),
    "alibaba-dlrm": (
        "instance_sn,role,app_name,cpu_request,cpu_limit,gpu_request,gpu_limit,rdma_request,"
        "rdma_limit,memory_request,memory_limit,disk_request,disk_limit,max_instance_per_node,"
        "creation_time,scheduled_time,deletion_time\n"
        "i-1,CN,a,12,16,0,0,1,1,120.0,150.0,580.0,700.0,-1,10.0,12.0,100.0\n"
        "i-2,HN,a,12,16,1,1,25,25,120.0,150.0,580.0,700.0,4,10.0,12.0,100.0\n",
    ),
    "gavel": ("ResNet-18 (batch size 32)\tcmd\tdir\t-n\t1\t100\t1\t0.0\t-1\t1\n",),
}  # fmt: skip


def _traces(shared: tuple[Path, ...] = ()) -> Iterator[Subject]:
    broken = sorted((ROOT / "tests" / "broken" / "traces").iterdir())
    written = tuple(path.read_bytes() for path in broken if not path.name.endswith(".expect"))
    options = TraceOptions(
        tokens_per_s_in=100.0, tokens_per_s_out=10.0, request_devices_milli=1000,
        run_s={"bert": 60.0}, steps_per_s={"ResNet-18 (batch size 32)": 1.0},
    )  # fmt: skip
    for name, entry in BY_NAME.items():
        seeds = [text.encode() for text in TRACES.get(name, ())]
        for header in entry.headers:
            for cell in ("1", "2023-11-16 18:17:03", "x"):
                rows = "\n".join([",".join(header), *[",".join([cell] * len(header))] * 3])
                seeds.append(rows.encode() + b"\n")

        def read(data: bytes, folder: Path, name: str = name) -> object:
            path = folder / "trace.csv"
            path.write_bytes(data)
            return read_workload(path, name, options=options)

        yield Subject(f"trace {name}", (*seeds, *written), read)

    def describe(data: bytes, folder: Path) -> object:
        path = folder / "trace"
        path.write_bytes(data)
        return describe_file(path, options=options)

    yield Subject("trace, any", written, describe)


def _example(kind: Any) -> Any:
    """A good value of a message's field, by its type."""
    adapter = TypeAdapter(kind)
    for value in (1, "x", True, [], {}, ["x"], [["x", "y"]], [["x", 1]], None, 1.5, "succeeded"):
        try:
            adapter.validate_python(value, strict=False)
        except ValidationError:
            continue
        return value
    if is_dataclass(kind):
        return message_example(kind)
    return None


def message_example(kind: Any) -> dict[str, Any]:
    from typing import get_type_hints

    hints = get_type_hints(kind)
    made = {one.name: _example(hints[one.name]) for one in fields(kind)}
    return {key: value for key, value in made.items() if value is not None}


def _messages() -> Iterator[Subject]:
    for name, kind in sorted(vars(wire).items()):
        if not (isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == wire.__name__):
            continue
        adapter = TypeAdapter(kind)

        def read(data: bytes, _folder: Path, adapter: Any = adapter) -> object:
            message = adapter.validate_json(data)
            check_message(message)
            return adapter.dump_json(message)

        seed = json.dumps(message_example(kind)).encode()
        yield Subject(f"message {name}", (seed,), read, (ValidationError, ApiError))


SITE_FILE = b"""site: lab
engine: local
pue: 1.2
accounts: [a]
pools:
  - name: lab-cpu
    nodes: 2
    devices_per_node: 8
    accelerator: A100
    cpus_per_node: 64
    memory_mib_per_node: 131072
    price_per_device_hour: "0.5"
    power_w_per_device: 300
    hours: Mon-Fri 08:00-18:00
"""


def _sites() -> Iterator[Subject]:
    network = load_network(LAPTOP)

    def read(text: str) -> object:
        return read_site_file(text, "lab")

    def offer(data: bytes, _folder: Path) -> object:
        made = TypeAdapter(SiteOffer).validate_json(data)
        invited = Invitation(site="lab", zone="coast")
        return check_offer(made, invited, network, {})

    yield Subject("site file", (SITE_FILE,), _text(read))
    pool = {"name": "lab-cpu", "nodes": 1, "devices_per_node": 1}
    seed = {**_safe_example(SiteOffer), "site": "lab", "engine": "local", "pools": [pool]}
    yield Subject("site offer", (json.dumps(seed).encode(),), offer, (ValidationError, InputFaults))

    def load(data: bytes, folder: Path) -> object:
        (folder / credential.CREDENTIAL_FILE).write_bytes(data)
        return credential.load(folder)

    known = b'{"secret": "wsc_x", "since_ms": 1, "following": null}'
    yield Subject("credential", (known,), load, (ValueError,))

    def link(data: bytes, folder: Path) -> object:
        (folder / "join.json").write_bytes(data)
        return load_link(folder)

    joined = b'{"server": "http://127.0.0.1:1", "site": "lab", "ca": null, "proxy": null}'
    yield Subject("link", (joined,), link, (ValueError, InputFaults))


def _safe_example(kind: Any) -> dict[str, Any]:
    try:
        return message_example(kind)
    except Exception:  # a kind of a shape we do not draw: the seed above is enough
        return {}


def _studies() -> Iterator[Subject]:
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        text = path.read_text().replace("../networks", str(ROOT / "networks"))

        def read(data: bytes, folder: Path) -> object:
            file = folder / "study.yaml"
            file.write_bytes(data)
            return read_study(file, quick=True, environment={})

        yield Subject(f"study {path.name}", (text.encode(),), read)


def subjects() -> list[Subject]:
    made = [
        *_networks(), *_vouchers(), *_jobs(), *_sbatch(), *_tes(), *_traces(), *_messages(),
        *_sites(), *_studies(),
    ]  # fmt: skip
    assert len({one.name for one in made}) == len(made)
    return made


# -- spoiling

SCRAPS: tuple[bytes, ...] = (
    *(text.encode("utf-8", "surrogatepass") for text in TEXTS),
    *(repr(number).encode() for number in NUMBERS),
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\r", b"\r\n", b"\n\n", b"\t", b"\x85",
    b": ", b"- ", b"? ", b"&a ", b"*a", b"!!python/object/apply:os.system [true]", b"<<: *a", b"|\n",
    b">-\n", b"'", b'"', b"{", b"}", b"[", b"]", b",", b"#", b"%YAML 1.2\n---\n", b"---\n", b"...\n",
    b"~", b".inf", b".nan", b"0o17", b"1_000", b"12:30:45", b"2026-01-01", b"\\ud800", b"\\u0000", b"a" * 300, b"a/" * 600,
    b",,,,", b'"""', b";", b"|", b"=", b"- - - - - - - -", b"[" * 500, b"{a: " * 500, b"(" * 500,
    b"&a [*a, *a]", b"x" * 20_000, b"," * 20_000, b"9" * 5_000, b"\n" * 5_000,
    json.dumps(deep_list()).encode(),
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")

Edit = tuple[str, float, int, bytes]


def edits() -> st.SearchStrategy[list[Edit]]:
    kinds = st.sampled_from(
        ["insert", "replace", "number", "word", "line twice", "cut", "lines swapped", "many lines"]
    )
    scrap = st.one_of(st.sampled_from(SCRAPS), st.binary(max_size=8))
    return st.lists(
        st.tuples(kinds, st.floats(0, 1), st.integers(0, 40), scrap), min_size=1, max_size=5
    )


def spoiled(data: bytes, changes: list[Edit]) -> bytes:
    for kind, place, length, scrap in changes:
        at = round(place * len(data))
        if kind == "insert":
            data = data[:at] + scrap + data[at:]
        elif kind == "replace":
            data = data[:at] + scrap + data[at + length :]
        elif kind in ("number", "word"):
            form = _NUMBER if kind == "number" else re.compile(rb"[A-Za-z_]+")
            found = list(form.finditer(data))
            if found:
                one = found[min(len(found) - 1, round(place * len(found)))]
                data = data[: one.start()] + scrap + data[one.end() :]
        elif kind == "cut":
            data = data[:at]
        else:
            lines = data.split(b"\n")
            index = min(len(lines) - 1, round(place * len(lines)))
            if kind == "line twice":
                lines.insert(index, lines[index])
            elif kind == "many lines":
                lines[index:index] = [lines[index]] * (length * 10)
            else:
                other = (index + length) % len(lines)
                lines[index], lines[other] = lines[other], lines[index]
            data = b"\n".join(lines)
    return data[:2_000_000]

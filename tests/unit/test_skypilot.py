"""A SkyPilot task as Westward reads it: what each field becomes, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.formats import job_fields
from westward.formats.skypilot import read_task, read_task_file
from westward.formats.yaml_nodes import MAX_JOB_TEXT_CHARS
from westward.model.faults import Fault, InputFaults
from westward.model.job import (
    Checkpoint,
    FileMount,
    InputData,
    JobSpec,
    LatencyRule,
    ResourceOption,
    TagRule,
)

NOW_MS = 1_795_000_000_000
PROJECT = Path(__file__).resolve().parents[2]
FULL = """\
name: train
num_nodes: 2
resources:
  accelerators: {A100: 8, T4: 0.5}
  cpus: 4+
  memory: 16GB
  infra: slurm/qingyang
  max_hourly_cost: 12.5
  priority: -10
  labels:
    westward.start_after: 1h
    westward.deadline: "2026-11-25T00:00:00Z"
    westward.duration: 1h30m
    westward.residency: province=Gansu|Ningxia, country=CN
    westward.latency: shanghai<=20ms one-way, beijing <= 7.5ms round-trip
    westward.account: lab-7
    westward.checkpoint: ckpt/last.npz every 10m
    westward.inputs: qingyang=10GB,guian=512MiB
    westward.value_of_wait: 3.5/h
    westward.home: guian
    team: nlp
envs: {EPOCHS: 10, NAME: x}
setup: pip list
run: |
  python train.py
"""


def read(text: str, base_dir: Path | None = None) -> JobSpec:
    return read_task(text, file="job.yaml", job_id="job_1", now_ms=NOW_MS, base_dir=base_dir)


def faults(text: str) -> list[str]:
    with pytest.raises(InputFaults) as told:
        read(text)
    return [str(fault) for fault in told.value.faults]


def job_or_faults(text: str) -> JobSpec | tuple[Fault, ...]:
    try:
        return read(text)
    except InputFaults as told:
        return told.faults


def options(resources: str) -> tuple[ResourceOption, ...]:
    return read(f"resources: {resources}\nrun: echo").options


def test_every_honoured_field_reaches_the_job() -> None:
    job = read(FULL)
    assert (job.name, job.nodes, job.priority, job.submit_ms) == ("train", 2, -10, NOW_MS)
    common = {
        "cpus_milli": 4_000,
        "memory_mib": 16 * 1_024,
        "site": "qingyang",
        "engine": "slurm",
        "max_hourly_cost_micros": 12_500_000,
    }
    assert job.options == (
        ResourceOption(accelerator="A100", devices_milli=8_000, **common),
        ResourceOption(accelerator="T4", devices_milli=500, **common),
    )
    assert job.start_after_ms == NOW_MS + 3_600_000
    assert job.deadline_ms == 1_795_564_800_000
    assert job.duration_ms == 5_400_000
    assert job.residency == (
        TagRule(key="province", values=("Gansu", "Ningxia")),
        TagRule(key="country", values=("CN",)),
    )
    assert job.latency == (
        LatencyRule(place="shanghai", limit_ms=20.0, mode="one-way"),
        LatencyRule(place="beijing", limit_ms=7.5, mode="round-trip"),
    )
    assert (job.account, job.home_site) == ("lab-7", "guian")
    assert job.checkpoint == Checkpoint(path="ckpt/last.npz", every_ms=600_000)
    assert job.inputs == (
        InputData(site="qingyang", size_bytes=10**10),
        InputData(site="guian", size_bytes=512 * 2**20),
    )
    assert job.wait_value_micros_per_hour == 3_500_000
    assert job.labels == (("team", "nlp"),)
    assert job.work.envs == (("EPOCHS", "10"), ("NAME", "x"))
    assert (job.work.setup, job.work.run) == ("pip list", "python train.py\n")


def test_the_smallest_job_asks_for_one_node_and_nothing_else() -> None:
    job = read("run: echo")
    assert job.name == "job_1"
    assert (job.nodes, job.options) == (1, (ResourceOption(),))
    assert (job.duration_ms, job.deadline_ms, job.wait_value_micros_per_hour) == (None, None, None)


def test_defaults_stand_in_only_where_the_job_is_silent() -> None:
    def who(text: str) -> tuple[str | None, str | None]:
        job = read_task(
            text, file="f", job_id="j", now_ms=NOW_MS, home_site="guian", account="city"
        )
        return job.home_site, job.account

    assert who("run: echo") == ("guian", "city")
    assert who("run: echo\nresources: {labels: {westward.home: ulanqab}}") == ("ulanqab", "city")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("A100", [("A100", 1_000)]),
        ("A100:8", [("A100", 8_000)]),
        ("T4:0.5", [("T4", 500)]),
        ("{A100: 8}", [("A100", 8_000)]),
        ("{A100:8, H100:4}", [("A100", 8_000), ("H100", 4_000)]),
        ("[A100:8, H100]", [("A100", 8_000), ("H100", 1_000)]),
        ("[A100:1, A100]", [("A100", 1_000)]),
    ],
)
def test_forms_of_accelerators(written: str, expected: list[tuple[str, int]]) -> None:
    found = options(f"{{accelerators: {written}}}")
    assert [(option.accelerator, option.devices_milli) for option in found] == expected


@pytest.mark.parametrize(
    ("written", "site", "engine"),
    [
        ("ssh/qingyang", "qingyang", "local"),
        ("slurm/a", "a", "slurm"),
        ("k8s/a", "a", "kubernetes"),
        ("Kubernetes", None, "kubernetes"),
        ("slurm/*", None, "slurm"),
        ("'*/a'", "a", None),
        ("'*'", None, None),
    ],
)
def test_forms_of_infra(written: str, site: str | None, engine: str | None) -> None:
    (option,) = options(f"{{infra: {written}}}")
    assert (option.site, option.engine) == (site, engine)


@pytest.mark.parametrize(
    ("written", "mib"),
    [
        ("16", 16_384),
        ("16+", 16_384),
        ("16GB", 16_384),
        ("0.5", 512),
        ("512MiB", 512),
        ("1Ti", 2**20),
    ],
)
def test_memory_counts_as_in_skypilot(written: str, mib: int) -> None:
    (option,) = options(f"{{memory: {written}}}")
    assert option.memory_mib == mib


@pytest.mark.parametrize("written", ["0", "-1", "16x", "16b", "nan", "1e400", ".", "[1]"])
def test_memory_that_is_none(written: str) -> None:
    assert len(faults(f"resources: {{memory: '{written}'}}\nrun: echo")) == 1


@pytest.mark.parametrize("key", ["any_of", "ordered"])
def test_alternatives_override_what_stands_beside_them(key: str) -> None:
    text = f"""\
  cpus: 2
  infra: slurm/a
  {key}:
    - accelerators: {{A100: 1}}
    - accelerators: H100
    - accelerators: T4
      infra: ssh/b
      cpus: 8
"""
    found = read(f"resources:\n{text}run: echo").options
    assert [(o.accelerator, o.cpus_milli, o.site, o.engine) for o in found] == [
        ("A100", 2_000, "a", "slurm"),
        ("H100", 2_000, "a", "slurm"),
        ("T4", 8_000, "b", "local"),
    ]


def test_an_alternative_has_one_kind_as_in_skypilot() -> None:
    for kinds in ("{A100: 1, H100: 1}", "[A100, H100]"):
        (fault,) = faults(f"resources: {{any_of: [{{accelerators: {kinds}}}]}}\nrun: echo")
        assert "any_of[0].accelerators" in fault


def test_a_field_with_nothing_behind_it_asks_for_nothing() -> None:
    text = "name:\nworkdir:\nservice:\nresources: {cpus: , ports: , use_spot: false}\nrun: echo"
    assert read(text) == read("run: echo")


def test_local_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "in.csv").write_text("1\n", encoding="utf-8")
    job_file = tmp_path / "job.yaml"
    job_file.write_text(
        "workdir: code\n"
        "file_mounts:\n  data/in.csv: ./in.csv\n"
        f"  ~/same: {{source: 'file://{tmp_path}/in.csv'}}\n"
        "run: ls\n",
        encoding="utf-8",
    )
    work = read_task_file(job_file, job_id="j", now_ms=NOW_MS).work
    assert work.workdir == str(tmp_path / "code")
    assert work.file_mounts == (
        FileMount(target="data/in.csv", source=str(tmp_path / "in.csv"), mode="COPY"),
        FileMount(target="~/same", source=str(tmp_path / "in.csv"), mode="MOUNT"),
    )


def test_a_relative_path_without_a_folder_to_count_from_is_refused() -> None:
    (fault,) = faults("workdir: code\nrun: ls")
    assert fault.startswith("job.yaml:1 [workdir]: 'code' is relative, and the job came without")
    assert read("workdir: code\nrun: ls", Path("/srv")).work.workdir == "/srv/code"
    assert read("workdir: /srv/code\nrun: ls").work.workdir == "/srv/code"


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputFaults, match="cannot be read: No such file"):
        read_task_file(tmp_path / "none.yaml", job_id="j", now_ms=NOW_MS)
    (tmp_path / "latin.yaml").write_bytes("run: caf\xe9".encode("latin-1"))
    with pytest.raises(InputFaults, match="byte 8 is not UTF-8"):
        read_task_file(tmp_path / "latin.yaml", job_id="j", now_ms=NOW_MS)


def test_every_refused_field_is_refused_by_name_with_its_reason() -> None:
    for name, why in job_fields.TASK_REFUSED.items():
        assert faults(f"{name}: x\nrun: echo") == [
            f"job.yaml:1 [{name}]: Westward cannot honour {name!r}: {why.reason}. {why.remedy}"
        ]
    for name, why in job_fields.RESOURCE_REFUSED.items():
        for place, path in ((f"{{{name}: x}}", ""), (f"{{any_of: [{{{name}: x}}]}}", "any_of[0].")):
            assert faults(f"resources: {place}\nrun: echo") == [
                f"job.yaml:1 [resources.{path}{name}]: Westward cannot honour {name!r}: "
                f"{why.reason}. {why.remedy}"
            ]
    for name, why in job_fields.MOUNT_REFUSED.items():
        (fault,) = faults(f"file_mounts: {{d: {{source: /tmp, {name}: x}}}}\nrun: echo")
        assert f"Westward cannot honour {name!r}: {why.reason}" in fault


def test_no_field_is_both_honoured_and_refused() -> None:
    assert not set(job_fields.TASK_FIELDS) & set(job_fields.TASK_REFUSED)
    assert not set(job_fields.RESOURCE_FIELDS) & set(job_fields.RESOURCE_REFUSED)
    assert not set(job_fields.MOUNT_FIELDS) & set(job_fields.MOUNT_REFUSED)


def test_all_faults_are_told_at_once_in_order_of_lines() -> None:
    found = faults("nam: x\nnum_nodes: 0\nresources:\n  cpus: none\n  labels: {westward.due: 1h}\n")
    rows = [re.match(r"job\.yaml(?::(\d+))?", fault)[1] for fault in found]  # type: ignore[index]
    assert rows == [None, "1", "2", "4", "5"]


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("duration", "0s"),
        ("duration", "9" * 400 + "s"),
        ("deadline", "soon"),
        ("residency", "province="),
        ("residency", "a=1,a=2"),
        ("residency", "a=1,,b=2"),
        ("latency", "shanghai<20ms one-way"),
        ("latency", "shanghai<=0ms one-way"),
        ("latency", "shanghai<=1.2.3ms one-way"),
        ("checkpoint", "every 10m"),
        ("checkpoint", "path every day"),
        ("inputs", "qingyang"),
        ("inputs", "qingyang=0GB"),
        ("inputs", "qing yang=1GB"),
        ("value_of_wait", "3.5"),
        ("value_of_wait", "-1/h"),
        ("account", "two words"),
        ("home", "../x"),
    ],
)
def test_terms_that_cannot_be_read(term: str, text: str) -> None:
    (fault,) = faults(f"resources:\n  labels:\n    westward.{term}: '{text}'\nrun: echo")
    assert fault.startswith(f"job.yaml:3 [resources.labels.westward.{term}]: ")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("010", "010 is not a plain decimal number"),
        ("1_000", "1_000 is not a plain decimal number"),
        ("1.0", "a whole number is needed, but here is a number (1.0)"),
        ("-1", "-1 is out of range"),
        ("1000001", "1000001 is out of range"),
    ],
)
def test_numbers_of_nodes_that_are_none(written: str, problem: str) -> None:
    assert faults(f"num_nodes: {written}\nrun: echo") == [
        f"job.yaml:1 [num_nodes]: {problem}. Give a whole number from 1 to 1000000."
    ]


def test_a_value_of_wait_of_nothing_is_not_the_same_as_none() -> None:
    job = read("resources: {labels: {westward.value_of_wait: 0/h}}\nrun: echo")
    assert job.wait_value_micros_per_hour == 0


def test_texts_made_to_exhaust_the_reader_are_refused() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    assert "more than 20000 values" in "\n".join(faults(bomb))
    assert "deep" in faults("run: " + "[" * 50_000)[0]
    assert "characters" in faults("run: " + "x" * MAX_JOB_TEXT_CHARS)[0]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=80).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_job_or_a_list_of_faults(text: str) -> None:
    outcome = job_or_faults(text)
    assert outcome.work.run.strip() if isinstance(outcome, JobSpec) else outcome


_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(job_fields.OPTION_FIELDS)), inner, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = sorted({*job_fields.TASK_FIELDS, *job_fields.RESOURCE_FIELDS})


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(_NAMES), _YAML, max_size=4),
    st.dictionaries(st.sampled_from(_NAMES), _YAML, max_size=4),
)
def test_any_values_in_known_fields_are_a_job_or_faults(
    task: dict[str, object], resources: dict[str, object]
) -> None:
    text = yaml.safe_dump({**task, "resources": resources, "run": "echo"})
    outcome = job_or_faults(text)
    if isinstance(outcome, JobSpec):
        assert outcome.options
    else:
        assert all(fault.problem and fault.remedy for fault in outcome)


def test_the_how_to_holds_the_tables_of_the_code() -> None:
    page = (PROJECT / "docs" / "howto" / "job-file.md").read_text(encoding="utf-8")
    assert page.split("<!-- fields -->\n")[1].strip() == job_fields.markdown_tables().strip()


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "examples").glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_examples_are_valid_jobs_and_valid_yaml(path: Path) -> None:
    job = read_task_file(path, job_id="job_1", now_ms=NOW_MS)
    assert job.name == path.stem
    assert job.duration_ms is not None
    script = re.search(r"(\w+\.py)", job.work.run)
    assert script is not None
    assert (PROJECT / "examples" / script[1]).is_file()
    labels = yaml.safe_load(path.read_text(encoding="utf-8"))["resources"]["labels"]
    assert all(isinstance(value, str) for value in labels.values())

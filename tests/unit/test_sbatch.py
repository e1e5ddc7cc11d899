"""sbatch scripts: every option has one fate, and what is honoured is true when the job runs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from westward.cli.main import run as westward
from westward.formats import sbatch_options
from westward.formats.job_fields import TERM_FIELDS
from westward.formats.sbatch import Imported, read_sbatch
from westward.formats.sbatch_reader import Choices
from westward.formats.sbatch_script import Shape, run_text
from westward.formats.sbatch_values import array_tasks, instant, limit_seconds, memory_mib
from westward.formats.skypilot import read_task
from westward.model.faults import InputFaults
from westward.model.job import JobSpec

PROJECT = Path(__file__).resolve().parents[2]


def script(*options: str, body: str = "true") -> str:
    return "\n".join(["#!/bin/bash", *(f"#SBATCH {one}" for one in options), body, ""])


def imported(text: str, **choices: Any) -> Imported:
    return read_sbatch(text, file="job.sh", choices=Choices(**{"workdir": None, **choices}))


def job(*options: str, **choices: Any) -> JobSpec:
    text = imported(script(*options), **choices).text
    return read_task(text, file="job.yaml", job_id="job_1", now_ms=0)


def faults(text: str, **choices: Any) -> list[tuple[int | None, str]]:
    with pytest.raises(InputFaults) as told:
        imported(text, **choices)
    assert all(fault.problem and fault.remedy for fault in told.value.faults)
    return [(fault.row, fault.field) for fault in told.value.faults]


def execute(
    folder: Path, text: str, rank: int = 0, nodes: int = 1, **more: str
) -> tuple[int, str, str]:
    task = yaml.safe_load(text)
    (folder / "run.sh").write_text(task["run"])
    env = {
        **os.environ, **task.get("envs", {}), "WESTWARD_JOB_ID": "job_x",
        "WESTWARD_OUTPUT": str(folder / "out"), "SKYPILOT_NODE_RANK": str(rank),
        "SKYPILOT_NODE_IPS": "\n".join(f"10.0.0.{n}" for n in range(nodes)), **more,
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "run.sh"], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_every_option_of_sbatch_has_one_fate() -> None:
    fates = (sbatch_options.KEPT, sbatch_options.WITHOUT_EFFECT, sbatch_options.REFUSED)
    assert sum(map(len, fates)) == len(sbatch_options.ALL_OPTIONS)
    assert set(sbatch_options.SHORT.values()) <= set(sbatch_options.ALL_OPTIONS)
    assert set(sbatch_options.ALL_OPTIONS) >= sbatch_options.FLAGS | sbatch_options.MAY_HAVE_VALUE


@pytest.mark.parametrize("name", sorted(sbatch_options.REFUSED))
def test_a_refused_option_is_refused_by_name_and_can_be_left_out(name: str) -> None:
    text = f"--{name}" if name in sbatch_options.FLAGS else f"--{name}=x"
    assert faults(script("--job-name=a", text)) == [(3, f"--{name}")]
    left = imported(script(text), leave_out=frozenset([name]))
    assert f"--{name}" in left.notes[0]
    assert f"# line 2: --{name}" in left.text


def test_the_how_to_lists_every_option() -> None:
    page = (PROJECT / "docs" / "howto" / "sbatch.md").read_text(encoding="utf-8")
    assert (
        page.partition("<!-- options -->\n")[2].strip() == sbatch_options.markdown_tables().strip()
    )


@pytest.mark.parametrize(
    ("options", "nodes", "cpus", "memory", "accelerator"),
    [
        (["-N2", "--ntasks-per-node=4", "-c 2", "--mem=16G"], 2, 8_000, 16_384, None),
        (["-n 8", "--ntasks-per-node=4"], 2, 4_000, 0, None),
        (["-n8"], 1, 8_000, 0, None),
        (["--nodes=2", "--ntasks=3"], 2, 2_000, 0, None),
        (["--mem-per-cpu=500", "-c4"], 1, 4_000, 2_000, None),
        (["--mem=4000"], 1, 0, 4_000, None),
        (["--mem=1T"], 1, 0, 1 << 20, None),
        (["--gres=gpu:a100:4"], 1, 0, 0, ("a100", 4_000)),
        (["--gres=gpu:v100"], 1, 0, 0, ("v100", 1_000)),
        (["-G h100:8", "-N 2"], 2, 0, 0, ("h100", 4_000)),
        (["--gpus-per-task=a100:1", "--ntasks-per-node=4", "-N2"], 2, 4_000, 0, ("a100", 4_000)),
        (["--gpus-per-node=a100:2", "--cpus-per-gpu=8", "--mem-per-gpu=32G"], 1, 16_000, 65_536,
         ("a100", 2_000)),
        (["--mincpus=6", "-c 4"], 1, 6_000, 0, None),
        (["--gres=none"], 1, 0, 0, None),
    ],
)  # fmt: skip
def test_what_is_asked_for_per_node(
    options: list[str], nodes: int, cpus: int, memory: int, accelerator: tuple[str, int] | None
) -> None:
    made = job(*options)
    (option,) = made.options
    assert (made.nodes, option.cpus_milli, option.memory_mib) == (nodes, cpus, memory)
    assert (option.accelerator, option.devices_milli) == (accelerator or (None, 0))


def test_the_kind_of_gpu_is_given_by_the_one_who_imports() -> None:
    (option,) = job("--gres=gpu:2", gpu_kinds={"": "A100"}).options
    assert (option.accelerator, option.devices_milli) == ("A100", 2_000)
    (option,) = job("-G a100:1", gpu_kinds={"a100": "A100-80GB"}, infra="slurm/east").options
    assert (option.accelerator, option.site, option.engine) == ("A100-80GB", "east", "slurm")


def test_terms_names_and_variables() -> None:
    made = job(
        "--job-name='my job'", "--account=lab-7", "--begin=now+2hours", "-t 1:30:00",
        "--deadline=now+1day", "--comment=x", "--export=A=1,HERE", environment={"HERE": "there"},
    )  # fmt: skip
    assert (made.name, made.account) == ("my-job", "lab-7")
    assert (made.start_after_ms, made.deadline_ms) == (7_200_000, 86_400_000)
    assert made.duration_ms == 5_400_000
    assert made.labels == (("slurm.comment", "x"),)
    assert made.work.envs == (("A", "1"), ("HERE", "there"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1_800), ("30:15", 1_815), ("2:00:05", 7_205), ("1-2", 93_600), ("1-2:30", 95_400),
     ("0-0:0:9", 9)],
)  # fmt: skip
def test_time_limits(text: str, seconds: int) -> None:
    assert limit_seconds(text) == seconds


def test_other_values() -> None:
    assert [memory_mib(text) for text in ("512K", "1", "2G", "1.5g", "4MB")] == [
        0.5, 1, 2048, 1536, 4,
    ]  # fmt: skip
    assert array_tasks("1,3,5-9:2,5") == [1, 3, 5, 7, 9]
    assert [instant(text) for text in ("now", "now+90", "now+2minutes")] == ["0s", "90s", "120s"]
    for wrong in ("UNLIMITED", "0", "1:2:3:4", "-1"):
        with pytest.raises(ValueError, match="time"):
            limit_seconds(wrong)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ("--nodes=2-4", "--nodes"),
        ("--mem=0", "--mem"),
        ("--mem=4G --mem-per-cpu=1G", "--mem and --mem-per-cpu"),
        ("--gres=gpu:2", "--gres"),
        ("--gres=craynetwork:1", "--gres"),
        ("--gpus=a100:3 -N2", "--gpus"),
        ("--gres=gpu:a100:2 --gpus-per-node=a100:4", "--gpus-per-node"),
        ("--begin=16:00", "--begin"),
        ("--begin=2030-01-01T00:00:00", "--begin"),
        ("--output=/scratch/x.out", "--output"),
        ("--error=../x.err", "--error"),
        ("--signal=USR1@60 -t 5", "--signal"),
        ("--signal=B:USR1@60", "--signal"),
        ("--ntasks=1 --nodes=2", "--ntasks"),
        ("--ntasks=9 --nodes=2 --ntasks-per-node=4", "--ntasks-per-node"),
        ("--export=NOT_SET_ANYWHERE", "--export"),
        ("--array=1-10%2", "--array"),
        ("--account", "--account"),
        ("--tiem=3", "--tiem"),
        ("stray", "stray"),
        ("hetjob", "hetjob"),
        ("--comment='open", "#SBATCH"),
    ],
)
def test_what_cannot_be_honoured_is_told_with_its_line(options: str, field: str) -> None:
    assert (2, field) in faults(script(options))


def test_all_faults_of_a_script_come_at_once() -> None:
    text = script("--partition=a", "--qos=b", body="srun --mpi=pmix x $SLURM_CLUSTER_NAME\nsqueue")
    assert faults(text) == [
        (2, "--partition"), (3, "--qos"), (4, "SLURM_CLUSTER_NAME"), (4, "srun"), (5, "squeue"),
    ]  # fmt: skip
    assert faults("echo no shebang\n") == [(1, "")]


def test_arrays_and_dependencies_become_terms_or_are_refused_until_there_are_such() -> None:
    text = script("--array=1-9:4", "--dependency=afterok:17:18,afterany:19")
    jobs = {"17": "job_a", "18": "prepare", "19": "job_c"}
    if "westward.array" not in TERM_FIELDS:
        assert faults(text, jobs=jobs) == [(2, "--array"), (3, "--dependency")]
        return
    made = yaml.safe_load(imported(text, jobs=jobs).text)
    labels = made["resources"]["labels"]
    assert labels["westward.array"] == "3"
    assert labels["westward.after"] == "afterok:job_a,afterok:prepare,afterany:job_c"
    assert faults(script("--dependency=afterok:5"), jobs=jobs) == [(2, "--dependency")]
    assert faults(script("--dependency=singleton"), jobs=jobs) == [(2, "--dependency")]


@pytest.mark.parametrize(
    ("written", "ids"), [("1-9:4", [1, 5, 9]), ("3,1,7", [3, 1, 7]), ("4", [4])]
)
def test_each_task_of_an_array_knows_its_number(
    tmp_path: Path, written: str, ids: list[int]
) -> None:
    shape = Shape(name="x", array=tuple(array_tasks(written)))
    text = "#!/bin/bash\necho $SLURM_ARRAY_TASK_ID $SLURM_ARRAY_TASK_COUNT $SLURM_ARRAY_TASK_MAX\n"
    task = yaml.safe_dump({"run": run_text(text, shape)})
    for index, one in enumerate(ids):
        folder = tmp_path / str(index)
        folder.mkdir()
        _, out, err = execute(folder, task, WESTWARD_ARRAY_INDEX=str(index))
        assert (out, err) == (f"{one} {len(ids)} {max(ids)}\n", "")


def test_comments_and_late_directives_are_not_options() -> None:
    text = script(
        "--job-name=a # why", "", body="##SBATCH --qos=x\ntrue\n#SBATCH -A late\n# squeue"
    )
    made = imported(text)
    assert yaml.safe_load(made.text)["name"] == "a"
    (note,) = made.notes
    assert "line 6" in note


# -- what runs


def test_the_script_sees_slurms_variables_and_srun_starts_the_tasks(tmp_path: Path) -> None:
    body = "echo $SLURM_NTASKS $SLURM_JOB_NAME $SLURM_JOB_ID\nsrun -l bash -c 'echo $SLURM_PROCID'\nsrun -n1 echo one"
    code, out, err = execute(tmp_path, imported(script("-n3", "-J x", body=body)).text)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "3 x job_x"
    assert sorted(lines[1:4]) == ["0: 0", "1: 1", "2: 2"]
    assert lines[4] == "one"


def test_a_failing_task_fails_srun_and_the_exit_code_is_the_scripts_own(tmp_path: Path) -> None:
    body = "srun bash -c 'exit $((SLURM_PROCID * 3))' || exit $?"
    for extra in ((), ("-o out.txt",), ("-o o.txt", "-e e.txt"), ("-t 5",)):
        folder = tmp_path / str(len(extra)) / "-".join(extra)
        folder.mkdir(parents=True)
        assert execute(folder, imported(script("-n3", *extra, body=body)).text)[0] == 6


def test_several_nodes_run_the_script_once_or_everywhere(tmp_path: Path) -> None:
    plain = imported(script("-N2", body="hostname >/dev/null; echo $SLURM_JOB_NODELIST")).text
    assert execute(tmp_path, plain, 0, 2)[1] == "10.0.0.0,10.0.0.1\n"
    assert execute(tmp_path, plain, 1, 2) == (0, "", "")
    body = "srun bash -c 'echo $SLURM_PROCID'; srun -N1 -n1 echo once; scontrol show hostnames | head -n1"
    assert faults(script("-N2", "-n5", body=body)) == [(4, "srun"), (4, "srun")]
    text = imported(script("-N2", "-n5", body=body), every_node=True).text
    first = execute(tmp_path, text, 0, 2)[1].splitlines()
    second = execute(tmp_path, text, 1, 2)[1].splitlines()
    assert sorted(first) == ["0", "1", "10.0.0.0", "2", "once"]
    assert sorted(second) == ["10.0.0.0", "3", "4"]


def test_output_files_hold_what_the_log_holds(tmp_path: Path) -> None:
    text = imported(script("-J n", "-o %x/%j.out", "-e e.txt", body="echo out; echo err >&2")).text
    assert execute(tmp_path, text) == (0, "out\n", "err\n")
    assert (tmp_path / "out" / "n" / "job_x.out").read_text() == "out\n"
    assert (tmp_path / "out" / "e.txt").read_text() == "err\n"


def test_input_comes_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello\n")
    for extra in ((), ("-t 1",)):
        text = imported(script("-i in.txt", *extra, body="cat")).text
        assert execute(tmp_path, text)[1] == "hello\n"


def test_the_time_limit_ends_the_script_and_the_signal_comes_before(tmp_path: Path) -> None:
    body = "trap 'echo early' USR1; trap 'echo told; exit 0' TERM\nwhile :; do sleep 0.1; done"
    began = time.monotonic()
    text = imported(script("-t 0:3", "--signal=B:USR1@2", "-o o.txt", body=body)).text
    code, out, err = execute(tmp_path, text)
    assert code == 124  # it was cut short, whatever it says of itself
    assert out.splitlines()[0] == "early"
    assert "told" in out
    assert "time limit" in out + err
    assert 2.5 < time.monotonic() - began < 25


def test_a_script_that_ends_in_time_does_not_wait_for_its_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    text = imported(script("-t 10:00", "-o o.txt", "-e e.txt", body="echo done")).text
    assert execute(tmp_path, text) == (0, "done\n", "")
    assert time.monotonic() - began < 30


# -- the command


def test_the_command_writes_a_job_file_or_refuses_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, out = tmp_path / "good.sh", tmp_path / "good.yaml"
    good.write_text(script("--job-name=a", "--partition=x"))
    assert westward(["import", "sbatch", str(good), "-o", str(out)]) == 2
    assert not out.exists()
    assert "good.sh:3 [--partition]" in capsys.readouterr().err
    assert (
        westward(["import", "sbatch", str(good), "-o", str(out), "--leave-out", "partition"]) == 0
    )
    assert yaml.safe_load(out.read_text())["workdir"] == "."
    assert "left out" in capsys.readouterr().err
    assert westward(["import", "sbatch", str(tmp_path / "none.sh")]) == 2

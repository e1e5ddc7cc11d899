"""Where Westward and SkyPilot read a file differently, by name, why, and the cases that show it.

``docs/skypilot-parity.md`` is printed from this table (``python tests/parity_skypilot/differences.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Difference:
    name: str
    why: str
    cases: tuple[str, ...]


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "refused-task-field",
        "SkyPilot takes the field; Westward cannot honour it and says why (`job_fields.TASK_REFUSED`)",
        (
            "task-api-server-access", "task-config", "task-event-callback",
            "task-file-mounts-mapping", "task-inputs", "task-managed-secrets", "task-metadata",
            "task-outputs", "task-pool", "task-secrets", "task-service", "task-volume-mounts",
            "task-volumes",
        ),
    ),
    Difference(
        "refused-resource-field",
        "SkyPilot takes the field; Westward cannot honour it and says why "
        "(`job_fields.RESOURCE_REFUSED`)",
        (
            "acc-args", "autostop", "cloud", "disk-size", "disk-tier", "ephemeral-storage",
            "image-id", "instance-type", "job-recovery", "job-recovery-codes", "local-disk",
            "network-tier", "ports", "ports-list", "priority-class", "res-cluster-overrides",
            "res-docker-login", "res-image-managed", "res-no-warnings", "res-requires-fuse",
            "resource-volumes", "use-spot", "zone",
        ),
    ),
    Difference(
        "public-clouds",
        "Westward's sites are not public clouds: `infra: aws/...` names none of them",
        ("infra-aws", "infra-gcp"),
    ),
    Difference(
        "site-partition",
        "SkyPilot reads a partition behind the cluster; a Westward pool is chosen by the plan",
        ("infra-slurm-partition",),
    ),
    Difference(
        "mounts-stay-below-the-job",
        "an absolute target would lie outside of the job's own folders at a site it shares",
        ("mount-absolute-target",),
    ),
    Difference(
        "no-buckets",
        "nothing fetches buckets or web addresses into a job yet",
        ("mount-cached", "mount-http", "mount-named-bucket", "mount-s3"),
    ),
    Difference(
        "no-git-workdir",
        "sites fetch no repository",
        ("workdir-git",),
    ),
    Difference(
        "paths-are-checked-first",
        "a workdir or mount that is not there is refused when the file is read; SkyPilot finds out "
        "when it starts",
        ("mount-missing-source", "workdir-is-file", "workdir-missing"),
    ),
    Difference(
        "needs-run",
        "SkyPilot may set a cluster up and run nothing; a job without `run` has nothing to do",
        ("null-run", "task-empty-file", "task-no-run"),
    ),
    Difference(
        "names-are-plain",
        "a job's name has letters, digits, dot, dash and underscore",
        ("task-name-blank-inside",),
    ),
    Difference(
        "terms-are-checked",
        "to SkyPilot `westward.*` is a label like any other; a misspelt term would be lost",
        ("labels-westward-unknown",),
    ),
    Difference(
        "reserved-variables",
        "the engine sets `SKYPILOT_*` for each rank; a job's own value would hide it",
        ("task-envs-reserved",),
    ),
    Difference(
        "quoted-variables",
        "YAML rewrites `true` and `0.1`; SkyPilot passes on what YAML made of them",
        ("task-envs-bool", "task-envs-float"),
    ),
    Difference(
        "share-of-one-device",
        "a share is of one device: 1.5 devices cannot be given",
        ("acc-share-large",),
    ),
    Difference(
        "memory-factor",
        "`4x` means four times the cpus' number to SkyPilot's catalogues of machines",
        ("memory-factor",),
    ),
    Difference(
        "empty-is-not-nothing",
        "an empty list or text is refused as a slip of the pen; SkyPilot reads it as nothing asked",
        ("acc-empty", "any-of-empty", "ordered-empty"),
    ),
    Difference(
        "one-priority",
        "a job has one priority and one set of labels; SkyPilot takes them in each alternative",
        ("any-of-inner-labels", "any-of-inner-priority"),
    ),
    Difference(
        "same-alternative-twice",
        "written twice it is kept once",
        ("any-of-same-twice",),
    ),
)  # fmt: skip


def markdown() -> str:
    recorded = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))
    answers = recorded["answers"]
    refused = sum("refused" in one for one in answers.values())
    named = sum(len(one.cases) for one in DIFFERENCES)
    lines = [
        "# SkyPilot files, read by both",
        "",
        f"The corpus in `tests/parity_skypilot/corpus` has {len(answers)} files, written for this "
        "test: every field of SkyPilot's",
        f"task and resources schemas, alone and together, right and wrong. SkyPilot "
        f"{recorded['skypilot']} takes {len(answers) - refused} of them and",
        f"refuses {refused}. Both agree on {len(answers) - named}: nodes, accelerators, alternatives "
        "and their order, cpus, memory,",
        f"infra, priority, name, envs, setup, run, and on what is refused. The other {named} differ, "
        "for these reasons:",
        "",
        "| difference | why | files |",
        "|---|---|---|",
    ]
    for one in DIFFERENCES:
        cases = ", ".join(f"`{case}`" for case in one.cases)
        lines.append(f"| {one.name} | {one.why} | {cases} |")
    lines += [
        "",
        "Not compared, because it means something else by design: `cpus: 4` is exactly four to "
        "SkyPilot's catalogues and at",
        "least four here; `ordered` is a preference of the whole job there and inside one pool here; "
        "relative paths count",
        "from the working folder there and from the job file here.",
        "",
        "`make test` compares with SkyPilot's recorded answers; `make test-parity-skypilot` installs "
        "the package apart and",
        "asks it again.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(), end="")

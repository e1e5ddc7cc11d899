"""Which fields of a SkyPilot task Westward honours, and why it refuses the others.

The reader, the tests and ``docs/howto/job-file.md`` all use these tables, so that what the
documentation says is what the code does. Together they hold every field of SkyPilot 0.14.1's
task, resources and storage schemas (and some of its neighbours'); a field in neither table is
unknown and refused with the nearest name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """A SkyPilot field that Westward knows and cannot honour."""

    reason: str
    remedy: str


RESERVED_ENV_PREFIXES = ("SKYPILOT_", "WESTWARD_")
"""Variables set by the engine for each rank; a job's own value would hide them."""

TASK_FIELDS: dict[str, str] = {
    "name": "the job's name; default: the job's id",
    "num_nodes": "nodes of the gang, whole or not at all; default 1",
    "resources": "what each node needs; see below",
    "envs": "environment variables; every value must be given",
    "workdir": "a local folder, copied to the site; relative paths count from the job file",
    "file_mounts": "local paths or file:// made available below the work folder or ~/",
    "setup": "bash text run before `run`",
    "run": "bash text run on every node; needed",
}

TASK_REFUSED: dict[str, Refused] = {
    "service": Refused(
        "Westward runs jobs that end, and keeps no endpoint up yet",
        "Remove `service:`; start the model inside `run:` if it serves for the job's own time.",
    ),
    "pool": Refused(
        "pools of kept workers are a SkyPilot feature; Westward's pools belong to the sites",
        "Remove `pool:`; the network's sites say what is available.",
    ),
    "event_callback": Refused(
        "nothing runs on the server on a job's behalf",
        "Remove it and ask `westward jobs` or the API for the state.",
    ),
    "secrets": Refused(
        "job files are kept with the job and can be read back, so a secret would be stored in "
        "the open",
        "Let the site provide it, or mount a file with `file_mounts:`.",
    ),
    "managed_secrets": Refused(
        "Westward keeps no store of secrets",
        "Let the site provide it, or mount a file with `file_mounts:`.",
    ),
    "inputs": Refused(
        "SkyPilot's experimental data sizes name a bucket without a digest",
        "Use the label westward.inputs: qingyang=10GB, or a data set of the catalogue.",
    ),
    "outputs": Refused(
        "SkyPilot's experimental output sizes name a bucket and no data set",
        "Use the label westward.outputs: model=weights.",
    ),
    "volumes": Refused(
        "no site offers volumes through Westward yet",
        "Use `file_mounts:` with a path that exists at the site.",
    ),
    "volume_mounts": Refused(
        "it is SkyPilot's internal form of `volumes:`",
        "Use `file_mounts:` with a path that exists at the site.",
    ),
    "file_mounts_mapping": Refused("it is internal to SkyPilot", "Use `file_mounts:`."),
    "config": Refused(
        "it changes SkyPilot's own configuration, which Westward does not read",
        "Remove it; a site's operator sets how its engine starts work.",
    ),
    "api_server_access": Refused(
        "jobs get no access to the Westward server",
        "Remove it and submit from outside the job.",
    ),
    "experimental": Refused("it configures SkyPilot itself", "Remove it."),
    "_metadata": Refused("it is internal to SkyPilot", "Remove it."),
}

OPTION_FIELDS: dict[str, str] = {
    "accelerators": "A100, A100:8, T4:0.5 (a share), a mapping or list of alternatives",
    "cpus": "per node, 4 or 4+; both mean at least 4",
    "memory": "per node in GiB, 16, 16+, 16GB; as in SkyPilot a GB here is 1024 MiB",
    "infra": "ssh/SITE, slurm/SITE, k8s/SITE, */SITE, an engine alone, or *",
    "max_hourly_cost": "of the whole gang, in the network's currency, at its starting hour",
}

RESOURCE_FIELDS: dict[str, str] = {
    **OPTION_FIELDS,
    "priority": "-1000 to 1000; higher goes first; default 0",
    "labels": "Westward's terms (westward.*); other labels are kept with the job",
    "any_of": "alternatives, each overriding the fields beside it; the cheapest sum wins",
    "ordered": "as `any_of`; in a pool that fits several, the earlier one is taken",
}

RESOURCE_REFUSED: dict[str, Refused] = {
    "cloud": Refused(
        "Westward's sites are not public clouds", "Name a site with `infra:`, or leave it out."
    ),
    "region": Refused(
        "a region of a public cloud is not a Westward site",
        "Name a site with `infra:`, or use the label westward.residency.",
    ),
    "zone": Refused(
        "a zone of a public cloud is not a Westward site", "Name a site with `infra:`."
    ),
    "instance_type": Refused(
        "sites offer nodes by their devices, cpus and memory, not by a cloud's machine names",
        "Ask with `accelerators:`, `cpus:` and `memory:`.",
    ),
    "use_spot": Refused(
        "sites offer no preemptible capacity yet",
        "Remove it.",
    ),
    "job_recovery": Refused(
        "a job whose site is lost is started again by Westward's own rule",
        "Remove it.",
    ),
    "autostop": Refused(
        "there is no cluster to stop: capacity is given back when the job ends", "Remove it."
    ),
    "hooks": Refused("there is no cluster with a life of its own", "Put it into `run:`."),
    "ports": Refused("sites open no port", "Remove it; a job reaches out, nothing reaches in."),
    "disk_size": Refused(
        "no site states its disk space yet, so the wish could not be kept",
        "Remove it, or name a site that is known to fit with `infra:`.",
    ),
    "ephemeral_storage": Refused(
        "no site states its disk space yet, so the wish could not be kept",
        "Remove it, or name a site that is known to fit with `infra:`.",
    ),
    "disk_tier": Refused("no site states the speed of its disks", "Remove it."),
    "local_disk": Refused("no site states its local disks", "Remove it."),
    "network_tier": Refused(
        "no site states tiers of its inner network", "Remove it, or name a site with `infra:`."
    ),
    "image_id": Refused(
        "the local engine starts processes, not images",
        "Install what the job needs in `setup:`.",
    ),
    "volumes": Refused(
        "no site offers volumes through Westward yet",
        "Use `file_mounts:` with a path that exists at the site.",
    ),
    "accelerator_args": Refused("no site offers TPUs", "Remove it."),
    "priority_class": Refused(
        "Westward has no named classes", "Give a number with `priority:`, -1000 to 1000."
    ),
    "_cluster_config_overrides": Refused("it is internal to SkyPilot", "Remove it."),
    "_docker_login_config": Refused("it is internal to SkyPilot", "Remove it."),
    "_is_image_managed": Refused("it is internal to SkyPilot", "Remove it."),
    "_no_missing_accel_warnings": Refused("it is internal to SkyPilot", "Remove it."),
    "_requires_fuse": Refused("it is internal to SkyPilot", "Remove it."),
}

MOUNT_FIELDS: dict[str, str] = {
    "source": "a local path or file://",
    "mode": "COPY or MOUNT; default MOUNT, as in SkyPilot's long form",
}

_NO_BUCKET = "Westward creates and reads no buckets"
MOUNT_REFUSED: dict[str, Refused] = {
    "name": Refused(_NO_BUCKET, "Give `source:` alone."),
    "store": Refused(_NO_BUCKET, "Give a local `source:`."),
    "persistent": Refused(_NO_BUCKET, "Remove it; a local source stays where it is."),
    "mount_options": Refused(_NO_BUCKET, "Remove it."),
    "config": Refused(_NO_BUCKET, "Remove it."),
    "type": Refused(_NO_BUCKET, "Remove it."),
    "_is_sky_managed": Refused("it is internal to SkyPilot", "Remove it."),
    "_bucket_sub_path": Refused("it is internal to SkyPilot", "Remove it."),
    "_force_delete": Refused("it is internal to SkyPilot", "Remove it."),
}

TERM_FIELDS: dict[str, str] = {
    "westward.deadline": "must have ended by: 6h (from submitting) or an ISO time with offset",
    "westward.start_after": "must not start before: same forms",
    "westward.duration": "the owner's estimate on the reference device: 90s, 1h30m; without it an "
    "hour is assumed (--assume-duration)",
    "westward.residency": "tags the site must have: province=Gansu|Ningxia,country=CN",
    "westward.latency": "shanghai<=20ms one-way, or round-trip; the mode must be said",
    "westward.account": "who pays",
    "westward.purpose": "what the work is for, such as research; some sites take only some",
    "westward.checkpoint": "where and how often it saves, and on which signal, with how long to do so: "
    "ckpt/last.npz every 10m signal USR1 grace 30s",
    "westward.after": "jobs that must have succeeded before: prepare,job_7; afterany:NAME however it "
    "ended; none",
    "westward.array": 'this many alike jobs from one file: "20", or lr=0.1|0.01,seed=1|2|3 for one '
    "job for each combination",
    "westward.retry": "which failures are tried again: attempts=5,on=75|137,never=2,backoff=30s",
    "westward.inputs": "data that must be at hand: by site, qingyang=10GB,guian=2GB; data sets of "
    "the catalogue and the folder where the job finds them, dataset:corpus@2=data/corpus",
    "westward.outputs": "what is published once the job has succeeded: a path below "
    "$WESTWARD_OUTPUT and the data set it becomes a version of, model=weights",
    "westward.value_of_wait": "cost of an hour's waiting in the network's currency: 3.5/h",
    "westward.home": "the owner's own site; used by the rule home-site",
}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like ``word``, if any is like it."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown name: the nearest known one, or all of them."""
    names = list(known)
    near = nearest(word, names)
    return f"Did you mean {near}?" if near else "Known are: " + ", ".join(names) + "."


def markdown_tables() -> str:
    """The field tables of the how-to, as they must stand there."""
    parts = [
        _honoured("Fields of the task", TASK_FIELDS),
        _honoured("Fields under `resources`", RESOURCE_FIELDS),
        _honoured("Westward's terms under `resources.labels`", TERM_FIELDS),
        _honoured("Long form of an entry of `file_mounts`", MOUNT_FIELDS),
        _refused("Refused in the task", TASK_REFUSED),
        _refused("Refused under `resources`", RESOURCE_REFUSED),
        _refused("Refused in an entry of `file_mounts`", MOUNT_REFUSED),
    ]
    return "\n".join(parts)


def _honoured(title: str, fields: dict[str, str]) -> str:
    lines = [f"### {title}", "", "| field | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(text)} |" for name, text in fields.items()]
    return "\n".join([*lines, ""])


def _refused(title: str, fields: dict[str, Refused]) -> str:
    lines = [f"### {title}", "", "| field | why | instead |", "|---|---|---|"]
    lines += [f"| `{n}` | {_cell(r.reason)} | {_cell(r.remedy)} |" for n, r in fields.items()]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(markdown_tables())

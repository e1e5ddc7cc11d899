"""What a run is to Kubernetes: a batch/v1 Job of one pod for each rank, and what its pod tells back.

Pure texts and mappings; only fields that Kubernetes 1.20 and today's releases both have. The pod's
first process is a bash script (``HOLDER``): it runs setup and run, passes a stop on as the job's
own signal, and says at its end how long the work took.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from westward.agent.engines.folders import told_env
from westward.model.wire import Grant

FOLDER = "/mnt/westward"
RUN_LABEL = "westward.io/run"
TOKEN_LABEL = "westward.io/token"
SITE_LABEL = "westward.io/site"
RANK_LABEL = "westward.io/rank"
ARGUMENT_MOST_BYTES = 120_000
"""Linux takes at most 128 KiB for one argument of a process."""
GRACE_SHARE = 5
"""Of a lease, this part is kept for the pod's own end after its deadline."""
HOLDER = r"""
exec 3>&2 2>/dev/null
cd "$WESTWARD_FOLDER" && mkdir -p work home output && cd work || exit 125
export HOME=$WESTWARD_FOLDER/home WESTWARD_OUTPUT=$WESTWARD_FOLDER/output
child= stopped= heard= code=0
trap 'stopped=1; heard=1; [ -n "$child" ] && kill -s "$WESTWARD_STOP_SIGNAL" -- "-$child"' TERM
now_ms() { t=${EPOCHREALTIME:-$(date +%s).000000}; t=${t/,/.}; n=${t#*.}000; echo "${t%.*}${n:0:3}"; }
begun=$(now_ms)
end() {
  [ -n "$child" ] && kill -KILL -- "-$child"
  printf '{"ran_ms": %s, "phase": "%s"}' "$(( $(now_ms) - begun ))" "$1" >"$WESTWARD_FOLDER/end"
  exit "$code"
}
set -m
phase() {
  bash -c "$1" 2>&3 3>&- </dev/null &
  child=$!
  while :; do heard=; wait "$child"; code=$?; [ -n "$heard" ] || return; done
}
if [ -n "$1" ]; then phase "$1"; [ "$code" = 0 ] || end setup; fi
[ -n "$stopped" ] || phase "$2"
end run
"""
BEAT = f"if [ -e {FOLDER}/beat ]; then rm {FOLDER}/beat; exit 1; else : >{FOLDER}/beat; fi"
BEAT_SHARE = 10
"""A pod beats ten times a lease."""
DEADLINE_HELD_SINCE = (1, 25)
"""Older controllers look at a Job only at its first deadline and when something changes: one that
was raised meanwhile is not enforced (kubernetes/kubernetes#90553, #107387; fixed by #110294)."""
NODE_GONE = (
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
)
"""A pod of a lost node stays where it is: nobody starts a second while the first may live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What of a cluster a site uses, as its operator said."""

    namespace: str
    image: str
    site: str
    gpu_resource: str = "nvidia.com/gpu"
    selectors: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """By pool: the labels a node must have."""
    pull_secret: str | None = None


def base_name(run_id: str) -> str:
    """The run's name in the cluster: the same for the same run."""
    return run_id.lower().replace("_", "-")


def job_name(run_id: str, rank: int) -> str:
    return f"{base_name(run_id)}-{rank}"


def check(grant: Grant, offer: Offer) -> None:
    """ValueError: what of the grant this engine cannot do."""
    part = grant.devices_per_node_milli < 1000 and grant.gpus_per_node == 1
    if part:
        raise ValueError(
            f"{grant.devices_per_node_milli} thousandths of a device were asked for: Kubernetes "
            "counts whole devices. Ask for one, or send the job to a site with a Ray engine"
        )
    if len(job_name(grant.run_id, grant.nodes)) > 63 or not base_name(grant.run_id)[0].isalpha():
        raise ValueError(f"run id {grant.run_id!r} cannot be a name in Kubernetes")
    for what, text in (("run", grant.work.run), ("setup", grant.work.setup)):
        if len(escaped(text).encode()) > ARGUMENT_MOST_BYTES:
            raise ValueError(
                f"the job's {what} has more than {ARGUMENT_MOST_BYTES} bytes: Kubernetes hands it "
                "on as one argument. Let the job fetch its long texts"
            )


def lease_grace_s(ttl_ms: int, grace_ms: int) -> int:
    """How long pods get from TERM to KILL when the cluster ends them for want of a lease."""
    return max(1, min(math.ceil(grace_ms / 1000), ttl_ms // 1000 // GRACE_SHARE))


def escaped(text: str) -> str:
    """Kubernetes reads $(NAME) and $$ in arguments and variables; nothing of the job's is for it."""
    return text.replace("$", "$$")


def job(grant: Grant, offer: Offer, rank: int, *, grace_ms: int, deadline_s: int) -> dict[str, Any]:
    """The Job of one rank. ``deadline_s`` is counted by the cluster from when it takes the Job up."""
    labels = {
        RUN_LABEL: grant.run_id,
        TOKEN_LABEL: str(grant.token),
        SITE_LABEL: offer.site,
        RANK_LABEL: str(rank),
    }
    resources: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    if grant.cpus_per_node_milli:
        resources["requests"]["cpu"] = f"{grant.cpus_per_node_milli}m"
    if grant.memory_per_node_mib:
        for kind in resources.values():
            kind["memory"] = f"{grant.memory_per_node_mib}Mi"
    if grant.gpus_per_node:
        for kind in resources.values():
            kind[offer.gpu_resource] = str(grant.gpus_per_node)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": lease_grace_s(grant.ttl_ms, grace_ms),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "tolerations": list(NODE_GONE),
        "volumes": [{"name": "westward", "emptyDir": {}}],
        "containers": [
            {
                "name": "work",
                "image": offer.image,
                "command": ["bash", "-c", escaped(HOLDER), "westward"],
                "args": [escaped(grant.work.setup.strip()), escaped(grant.work.run)],
                "env": [
                    {"name": name, "value": escaped(value)}
                    for name, value in _env(grant, offer, rank).items()
                ],
                "resources": resources,
                "volumeMounts": [{"name": "westward", "mountPath": FOLDER}],
                "terminationMessagePath": f"{FOLDER}/end",
            }
        ],
    }
    selector = dict(offer.selectors).get(grant.pool)
    if selector:
        pod["nodeSelector"] = dict(selector)
    if offer.pull_secret:
        pod["imagePullSecrets"] = [{"name": offer.pull_secret}]
    if grant.nodes > 1:
        pod.update(hostname=f"rank{rank}", subdomain=base_name(grant.run_id))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(grant.run_id, rank), "labels": labels},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline_s,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def with_beat(made: Mapping[str, Any], beat_s: int) -> dict[str, Any]:
    """The same Job with a pod that turns ready and not ready in turn, every ``beat_s``: each change
    makes the Job's controller look at the deadline again (``DEADLINE_HELD_SINCE``)."""
    copy: dict[str, Any] = json.loads(json.dumps(made))
    (container,) = copy["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"] = {
        "exec": {"command": ["bash", "-c", BEAT]},
        "periodSeconds": beat_s,
        "timeoutSeconds": 5,
        "failureThreshold": 1,
        "successThreshold": 1,
    }
    return copy


def service(grant: Grant, site: str) -> dict[str, Any]:
    """Gives the ranks of a gang their names (``rankN.RUN``) through the cluster's DNS."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": base_name(grant.run_id),
            "labels": {RUN_LABEL: grant.run_id, SITE_LABEL: site},
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {RUN_LABEL: grant.run_id},
        },
    }


def _env(grant: Grant, offer: Offer, rank: int) -> dict[str, str]:
    name = base_name(grant.run_id)
    addresses = [f"rank{rank}.{name}" for rank in range(grant.nodes)]
    return {
        **told_env(grant, offer.site),
        "SKYPILOT_NODE_RANK": str(rank),
        "SKYPILOT_NODE_IPS": "\n".join(addresses) if grant.nodes > 1 else "127.0.0.1",
        "WESTWARD_FOLDER": FOLDER,
        "WESTWARD_STOP_SIGNAL": grant.stop_signal.removeprefix("SIG"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One pod of a run as the cluster tells of it now."""

    pod: str
    uid: str
    rank: int
    state: str
    """``waiting``, ``running``, ``ended`` (its container told an exit code), ``lost`` (it did not)"""
    words: str
    node: str | None
    going: bool
    """It is being deleted."""
    exit_code: int | None = None
    ran_ms: int | None = None
    phase: str = "run"


def rank_of(pod: Mapping[str, Any]) -> Rank:
    """Read a pod (as JSON)."""
    meta, status = pod["metadata"], pod.get("status") or {}
    common: dict[str, Any] = {
        "pod": meta["name"],
        "uid": meta["uid"],
        "rank": int(meta["labels"].get(RANK_LABEL, 0)),
        "node": (pod.get("spec") or {}).get("nodeName"),
        "going": meta.get("deletionTimestamp") is not None,
    }
    containers = status.get("containerStatuses") or [{}]
    state = containers[0].get("state") or {}
    ended = state.get("terminated")
    if ended is not None:
        said = _said(ended.get("message"))
        reason = ended.get("reason") or ""
        words = "ran out of memory" if reason == "OOMKilled" else reason
        return Rank(
            **common,
            state="ended",
            words=words,
            exit_code=int(ended["exitCode"]),
            ran_ms=said.get("ran_ms"),
            phase=str(said.get("phase", "run")),
        )
    if status.get("phase") in ("Succeeded", "Failed"):
        words = f"{status.get('reason') or status['phase']}: {status.get('message') or ''}"
        return Rank(**common, state="lost", words=words.rstrip(": "))
    if "running" in state:
        return Rank(**common, state="running", words="running")
    waiting = state.get("waiting") or {}
    words = waiting.get("reason") or _unscheduled(status) or str(status.get("phase", "pending"))
    return Rank(**common, state="waiting", words=words)


def _said(message: str | None) -> dict[str, Any]:
    try:
        said = json.loads(message or "")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _unscheduled(status: Mapping[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}"[:200]
    return None

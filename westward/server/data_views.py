"""What a job read, moved and published, as the JSON that users get."""

from __future__ import annotations

from typing import Any

from westward.control.records import JobRecord
from westward.model.dataset import DataSet, Provenance
from westward.store.catalogue import load_made_by
from westward.store.data_runs import load_moved, load_uses
from westward.store.database import Store

Json = dict[str, Any]


def data_view(store: Store, record: JobRecord) -> Json:
    """``uses`` is the proof of residency: for each run and data set the terms, the tags of the
    site that they were checked against, and when, before a byte was given."""
    if not record.job.datasets and not record.job.outputs:
        return {"uses": [], "moved": [], "published": []}
    return {
        "uses": [
            {
                "run_id": one.run_id,
                "dataset": one.dataset,
                "version": one.version,
                "digest": one.digest,
                "from_site": one.from_site,
                "url": one.url,
                "to_site": one.to_site,
                "terms": [{"key": rule.key, "values": list(rule.values)} for rule in one.terms],
                "tags": dict(one.tags),
                "checked_ms": one.checked_ms,
                "staged_ms": one.staged_ms,
                "cached": one.cached,
            }
            for one in load_uses(store, record.job_id)
        ],
        "moved": [
            {
                "run_id": one.run_id,
                "dataset": one.dataset,
                "version": one.version,
                "from_site": one.from_site,
                "to_site": one.to_site,
                "size_bytes": one.size_bytes,
                "wall_ms": one.wall_ms,
            }
            for one in load_moved(store, record.job_id)
        ],
        "published": [
            dataset_view(one) for one in load_made_by(store, [run.run_id for run in record.runs])
        ],
    }


def dataset_view(found: DataSet, *, files: bool = False) -> Json:
    """``licence`` "" and ``price_micros_per_gb`` null: its owner did not say."""
    shown: Json = {
        "name": found.name,
        "version": found.version,
        "owner": found.owner,
        "size_bytes": found.size_bytes,
        "digest": found.digest,
        "licence": found.licence,
        "residency": [{"key": one.key, "values": list(one.values)} for one in found.residency],
        "price_micros_per_gb": found.price_micros_per_gb,
        "created_ms": found.created_ms,
        "replicas": [
            {
                "site": one.site,
                "url": one.url,
                "added_ms": one.added_ms,
                "suspect": one.suspect,
            }
            for one in found.replicas
        ],
        "provenance": _provenance_view(found.provenance),
    }
    if files:
        shown["files"] = [
            {"path": one.path, "size_bytes": one.size_bytes, "sha256": one.sha256}
            for one in found.files
        ]
    return shown


def _provenance_view(made: Provenance | None) -> Json | None:
    if made is None:
        return None
    return {
        "job_id": made.job_id,
        "run_id": made.run_id,
        "site": made.site,
        "run_sha256": made.run_sha256,
        "setup_sha256": made.setup_sha256,
        "inputs": [
            {"dataset": one.dataset, "version": one.version, "digest": one.digest}
            for one in made.inputs
        ],
    }

"""Alibaba's image generation service (GenTD26, cluster-trace-v2026-GenAI; Lin et al., SoCC 2025).

``lora_request_trace`` holds requests with their arrival and execution time: those are jobs.
``data_trace_processed`` holds requests without arrivals, and every other file is a series of one
measurement by container; from these no job list can be read.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import OWN_CLOCK, build, codes, from_dates, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.series import by_hour
from westward.formats.traces.source import (
    Cells,
    Drops,
    NoJobList,
    Source,
    header_of,
    read_csv,
)
from westward.model.units import MILLI
from westward.model.workload import Workload

REQUEST_FIELDS = (
    "gmt_create",
    "predict_type",
    "predict_status",
    "exec_time_seconds",
    "groupId",
    "prompt_length",
    "negative_prompt_length",
    "num_images_per_prompt",
    "num_inference_steps",
    "checkpoint_model_version_id",
    "num_lora",
)
UNTIMED_FIELDS = (
    "predict_type",
    "exec_time_seconds",
    "style_type",
    "prompt_length",
    "negative_prompt_length",
    "num_images_per_prompt",
    "num_inference_steps",
    "checkpoint_model_version_id",
    "lora_args",
)
SERIES_FIELDS = (
    ("timestamp_anon", "value", "container_ip"),
    ("value", "timestamp_anon", "container_ip"),
    ("value", "container_ip", "timestamp_anon"),
    ("timestamp_anon", "value", "container_ip", "request_type"),
)
HEADERS = (REQUEST_FIELDS, UNTIMED_FIELDS, *SERIES_FIELDS)
FORM = "%Y-%m-%d %H:%M:%S"
FINISHED = ("SUCCEED", "FAILED")
STATUSES = (*FINISHED, "PENDING", "PROCESSING")


def read_alibaba_genai(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit), NoJobList for the files
    that hold no requests with arrivals."""
    header = header_of(source)
    if header in SERIES_FIELDS:
        raise _series(source, header)
    if header == UNTIMED_FIELDS:
        raise _untimed(source)
    table = read_csv(source, REQUEST_FIELDS)
    cells = Cells(table)
    submitted = cells.times("gmt_create", FORM)
    duration = cells.numbers("exec_time_seconds", minimum=0)
    group = cells.filled("groupId")
    status = table.cells["predict_status"]
    unknown = (~status.is_in(list(STATUSES))).to_numpy()
    cells.check(unknown, "predict_status", f"the status is none of {', '.join(STATUSES)}")
    for name in REQUEST_FIELDS[5:9]:
        cells.numbers(name, minimum=0, maximum=np.inf, optional=True)
    cells.numbers("num_lora", minimum=0, maximum=np.inf)
    cells.log.raise_if_any()

    drops = Drops(table.lines)
    unfinished = (~status.is_in(list(FINISHED))).to_numpy()
    drops.drop(unfinished, "not finished when recorded (PENDING or PROCESSING)")
    drops.drop(duration <= 0, "no run time")
    if not drops.keep.any():
        raise source.refuse(None, "", "no request finished", "Give requests that ran.")
    failed = int(((status == "FAILED").to_numpy() & drops.keep).sum())
    told = options.request_devices_milli
    share = MILLI if told is None else told
    user, users = codes(group)
    model, models = codes(table.cells["checkpoint_model_version_id"])
    submit_ms, moved = from_dates(to_ms(submitted), drops.keep, OWN_CLOCK)
    zero = np.zeros(len(table))
    return build(
        source,
        "alibaba-genai",
        rows_read=len(table),
        drops=drops,
        notes=(
            *moved,
            "dates were shifted by the publisher: hours of day mean nothing",
            f"{failed} failed requests kept: they held a device",
            f"each request holds {share} thousandths of one device "
            + ("(assumed: the file states no GPUs)" if told is None else "(as told)"),
            f"user = groupId ({len(users)} of them)",
            f"data set = base model ({len(models)} of them); its bytes are not stated",
            "prompt, steps, images and LoRA counts are not used",
        ),
        submit_ms=submit_ms,
        duration_ms=to_ms(duration),
        nodes=zero + 1,
        devices_milli=zero + share,
        user=user,
        source_row=table.lines,
        dataset=model,
    )


def _series(source: Source, header: tuple[str, ...]) -> NoJobList:
    table = read_csv(source, header)
    cells = Cells(table)
    at = cells.numbers("timestamp_anon", minimum=0)
    value = cells.numbers("value", minimum=-np.inf, maximum=np.inf)
    cells.log.raise_if_any()
    problem = "this is a series of one measurement by container, not a list of requests"
    remedy = "Requests with arrival and execution time are in lora_request_trace."
    return NoJobList(
        [source.fault(None, "", problem, remedy)], table, by_hour("sum of value", at, value)
    )


def _untimed(source: Source) -> NoJobList:
    table = read_csv(source, UNTIMED_FIELDS)
    cells = Cells(table)
    cells.numbers("exec_time_seconds", minimum=0, optional=True)
    cells.log.raise_if_any()
    problem = "the requests have no arrival time"
    remedy = "Requests with arrival and execution time are in lora_request_trace."
    return NoJobList([source.fault(None, "", problem, remedy)], table)

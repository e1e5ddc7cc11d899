"""Azure's LLM inference requests of 2023 (Patel et al., Splitwise, ISCA 2024).

``TIMESTAMP,ContextTokens,GeneratedTokens``. What a request took is not recorded: that depends on
model, device and batch. The caller states the two speeds (context read and answer written, tokens
a second for one request) and the share of a device that one request holds; each request then is a
short job. The files state no time zone.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import OWN_CLOCK, build, from_dates, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import MAX_COUNT, Cells, Drops, NoJobList, Source, read_csv
from westward.formats.traces.stated import bounded
from westward.model.workload import Workload

FIELDS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
FORM = "%Y-%m-%d %H:%M:%S%.f"
_NEEDED = (
    ("tokens_per_s_in", "how fast a context is read (tokens a second, one request)"),
    ("tokens_per_s_out", "how fast an answer is written (tokens a second, one request)"),
    ("request_devices_milli", "what share of a device one request holds (1000 = all of it)"),
)


def read_azure_llm(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit), NoJobList with every
    figure that the options lack."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    submitted = cells.times("TIMESTAMP", FORM)
    context = cells.numbers("ContextTokens", minimum=0, maximum=MAX_COUNT, whole=True)
    answer = cells.numbers("GeneratedTokens", minimum=0, maximum=MAX_COUNT, whole=True)
    lacking = [
        source.fault(None, "", f"the file does not record {what}", f"State it: option {name}.")
        for name, what in _NEEDED
        if getattr(options, name) is None
    ]
    cells.log.raise_if_any(also=lacking)
    speed_in, speed_out = options.tokens_per_s_in, options.tokens_per_s_out
    share = options.request_devices_milli
    if speed_in is None or speed_out is None or share is None:
        raise NoJobList(lacking, table)
    run_s = context / speed_in + answer / speed_out
    run_s = bounded(source, run_s, "tokens_per_s_in and tokens_per_s_out")
    drops = Drops(table.lines)
    drops.drop(context + answer <= 0, "no tokens")
    if not drops.keep.any():
        raise source.refuse(None, "", "no row has tokens", "Give requests that ran.")
    zero = np.zeros(len(table))
    submit_ms, moved = from_dates(to_ms(submitted), drops.keep, OWN_CLOCK)
    return build(
        source,
        "azure-llm",
        rows_read=len(table),
        drops=drops,
        notes=(
            *moved,
            "the file states no time zone; hours of day are as written",
            f"run time as told: context at {speed_in:g} tokens/s + answer at {speed_out:g} "
            "tokens/s; the file records none",
            f"each request holds {share} thousandths of one device (as told)",
            "batching of requests is not modelled",
        ),
        submit_ms=submit_ms,
        duration_ms=to_ms(run_s),
        nodes=zero + 1,
        devices_milli=zero + share,
        source_row=table.lines,
    )

"""Every trace format that is read: its name, what it holds, how to know it, its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from westward.formats.traces import (
    alibaba_dlrm,
    alibaba_genai,
    azure_llm,
    elasticflow,
    gaia,
    gavel,
    muri,
    openb,
    philly,
    series,
    sia,
    swf,
)
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import Source
from westward.model.workload import Workload


@dataclass(frozen=True, slots=True)
class Format:
    """``headers``: first lines by which a comma-separated file of this format is known; empty
    where the format has none (SWF, gavel). ``needs``: options without which no job list results."""

    name: str
    holds: str
    read: Callable[[Source, TraceOptions], Workload]
    headers: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()


_ALL = (
    Format("swf", "Standard Workload Format: logs of the Parallel Workloads Archive", swf.read_swf),
    Format(
        "openb",
        "Alibaba GPU cluster 2023: tasks that share GPUs (pod lists)",
        openb.read_openb,
        (openb.FIELDS, openb.UNTIMED_FIELDS, openb.NODE_FIELDS),
    ),
    Format(
        "gaia", "samples of Azure, Mustang and Alibaba PAI (GAIA)", gaia.read_gaia, (gaia.FIELDS,)
    ),
    Format(
        "philly", "Microsoft Philly 2017: GPU training jobs", philly.read_philly, (philly.FIELDS,)
    ),
    Format("muri", "Muri's training jobs, from Philly", muri.read_muri, (muri.FIELDS,)),
    Format(
        "elasticflow",
        "ElasticFlow's training jobs with deadlines",
        elasticflow.read_elasticflow,
        elasticflow.HEADERS,
    ),
    Format(
        "gavel",
        "Gavel's training jobs, in steps",
        gavel.read_gavel,
        needs=("steps_per_s",),
    ),
    Format("sia", "Sia's training jobs, by application", sia.read_sia, (sia.FIELDS,), ("run_s",)),
    Format(
        "azure-llm",
        "Azure LLM inference requests 2023, in tokens",
        azure_llm.read_azure_llm,
        (azure_llm.FIELDS,),
        ("tokens_per_s_in", "tokens_per_s_out", "request_devices_milli"),
    ),
    Format(
        "alibaba-dlrm",
        "Alibaba recommendation instances 2025 (GPU-disaggregated)",
        alibaba_dlrm.read_alibaba_dlrm,
        (alibaba_dlrm.FIELDS,),
    ),
    Format(
        "alibaba-genai",
        "Alibaba image generation 2026: requests (its series: describe only)",
        alibaba_genai.read_alibaba_genai,
        alibaba_genai.HEADERS,
    ),
    Format(
        "helios",
        "SenseTime Helios 2020: counts by time step (describe only)",
        series.read_helios,
        (series.HELIOS_FIELDS,),
    ),
    Format(
        "alibaba-spot",
        "Alibaba spot GPU nodes 2026 (describe only)",
        series.read_alibaba_spot,
        (series.SPOT_FIELDS,),
    ),
)
BY_NAME: dict[str, Format] = {entry.name: entry for entry in _ALL}

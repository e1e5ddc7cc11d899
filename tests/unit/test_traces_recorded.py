"""Every recorded trace, read once. The figures were counted with zcat, tar and awk, not by us."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared_trace

from westward.formats.traces import (
    FORMATS,
    NoJobList,
    TraceOptions,
    describe_file,
    read_workload,
)
from westward.formats.traces.openb import FIELDS as OPENB_FIELDS
from westward.formats.traces.source import open_source
from westward.formats.traces.swf import columns_of_bytes
from westward.model.faults import InputFaults
from westward.model.workload import Workload

# file, rows, jobs, processors, seconds, processor-seconds, jobs with an estimate, partitions
SWF = [
    ("CTC-SP2.easy.swf.gz", 77_199, 77_199, 848_268, 868_813_580, 8_279_369_703, 77_199, 0),
    ("KTH-SP2.easy.swf.gz", 28_481, 28_481, 218_206, 252_339_555, 2_013_209_080, 28_481, 0),
    ("KTH-SP2.unfiltered.swf.gz", 28_489, 28_481, 218_429, 252_883_787, 2_024_618_666, 28_481, 0),
    ("LCG-2005.swf.gz", 188_041, 187_520, 187_520, 1_502_530_759, 1_502_530_759, 187_520, 170),
    (
        "LLNL-Atlas-2006-2.1-cln.swf.gz",
        43_778,
        36_600,
        16_455_288,
        219_985_709,
        108_249_345_064,
        31_248,
        4,
    ),
    ("NASA-iPSC-1993-3.1-cln.swf.gz", 18_239, 18_066, 303_638, 13_950_781, 474_238_015, 0, 0),
    ("SDSC-BLUE.easy.swf.gz", 232_542, 232_542, 9_598_328, 980_594_629, 74_350_480_488, 232_542, 0),
    (
        "SDSC-SP2-1998-4.2-cln.swf.gz",
        59_715,
        54_034,
        664_032,
        399_341_974,
        6_727_555_216,
        53_999,
        0,
    ),
    ("SDSC-SP2.easy.swf.gz", 54_006, 54_006, 664_089, 397_111_555, 6_656_350_775, 54_006, 0),
    ("lublin_256.swf", 10_000, 10_000, 221_010, 48_627_667, 2_092_781_168, 0, 0),
    ("lublin_256_new2.swf", 10_000, 10_000, 390_073, 16_959_554, 726_158_669, 0, 0),
    ("wagap-2013.swf.gz", 17_900, 17_898, 149_384, 897_261_525, 9_647_254_226, 17_898, 1),
]
# variant, rows, jobs, GPU-thousandths, seconds, GPU-seconds (whole), with gpu_spec, never
# scheduled, (BE, Burstable, LS + Guaranteed)
OPENB = [
    ("cpu0", 7_064, 7_063, 6_086_570, 191_534_921, 185_395_451, 0, 860, (2_947, 99, 4_017)),
    ("cpu037", 7_336, 7_335, 6_086_570, 192_248_549, 185_395_451, 0, 869, (3_060, 99, 4_176)),
    ("cpu050", 7_439, 7_438, 6_086_570, 192_797_541, 185_395_451, 0, 877, (3_110, 99, 4_229)),
    ("cpu072", 7_608, 7_607, 6_086_570, 193_206_664, 185_395_451, 0, 883, (3_177, 99, 4_331)),
    ("cpu100", 7_853, 7_852, 6_086_570, 209_186_392, 185_395_451, 0, 882, (3_271, 100, 4_481)),
    ("cpu200", 8_832, 8_831, 6_086_570, 220_960_947, 185_395_451, 0, 926, (3_685, 100, 5_046)),
    ("cpu235", 9_240, 9_239, 6_086_570, 228_860_589, 185_395_451, 0, 932, (3_847, 101, 5_291)),
    ("cpu250", 9_420, 9_419, 6_086_570, 213_559_779, 185_395_451, 0, 933, (3_919, 100, 5_400)),
    ("cpu300", 10_094, 10_093, 6_086_570, 268_500_159, 185_395_451, 0, 954, (4_219, 101, 5_773)),
    ("default", 8_152, 8_151, 6_086_570, 210_197_755, 185_395_451, 0, 896, (3_397, 100, 4_654)),
    ("gpushare100", 8_152, 8_149, 3_951_980, 135_650_197, 54_678_269, 0, 1_206, (5_787, 1, 2_361)),
    ("gpushare20", 8_152, 8_151, 6_531_270, 176_503_582, 161_065_033, 0, 839, (2_957, 124, 5_070)),
    ("gpushare40", 8_152, 8_150, 5_640_790, 189_790_286, 152_811_883, 0, 979, (3_919, 76, 4_155)),
    ("gpushare60", 8_152, 8_152, 4_908_340, 205_878_394, 123_980_249, 0, 1_050, (4_678, 39, 3_435)),
    ("gpushare80", 8_152, 8_151, 4_407_960, 168_167_379, 92_504_028, 0, 1_145, (5_210, 19, 2_922)),
    ("gpuspec05", 8_152, 8_151, 6_086_570, 210_197_755, 185_395_451, 369, 896, (3_397, 100, 4_654)),
    ("gpuspec10", 8_152, 8_151, 6_086_570, 210_197_755, 185_395_451, 732, 896, (3_397, 100, 4_654)),
    (
        "gpuspec20",
        8_152,
        8_151,
        6_086_570,
        210_197_755,
        185_395_451,
        1_444,
        896,
        (3_397, 100, 4_654),
    ),
    (
        "gpuspec25",
        8_152,
        8_151,
        6_086_570,
        210_197_755,
        185_395_451,
        1_758,
        896,
        (3_397, 100, 4_654),
    ),
    (
        "gpuspec33",
        8_152,
        8_151,
        6_086_570,
        210_197_755,
        185_395_451,
        2_388,
        896,
        (3_397, 100, 4_654),
    ),
]
# file, jobs, cpus, unit, sum of run times in it, the same times cpus
GAIA = [
    ("azure-100k.csv.gz", 99_988, 396_328, "hours", 382_681.583, 1_407_948.000),
    ("mustang-trace-2015-100k.csv.gz", 100_000, 1_044_919, "hours", 205_772.318, 4_547_545.307),
    ("pai-100k.csv.gz", 99_998, 342_115, "hours", 226_677.583, 1_011_245.851),
    ("pai_1k.csv", 1_000, 1_236, "seconds", 9_066_101.0, 11_493_272.0),
]
# file, jobs, GPUs, sum of submit ms, sum of run ms, GPU-seconds, guaranteed jobs
MURI = [
    ("trace1", 1_494, 7_398, 9_355_985_669_000, 374_174_936_000, 1_379_976_364, 745),
    ("trace1_pr", 1_494, 7_398, 0, 374_174_936_000, 1_379_976_364, 745),
    ("trace2", 5_755, 29_825, 25_237_362_276_000, 575_421_048_000, 2_966_695_253, 2_846),
    ("trace2_pr", 5_755, 29_825, 0, 575_421_048_000, 2_966_695_253, 2_846),
    ("trace3", 992, 9_346, 3_734_742_603_000, 46_489_935_000, 420_084_355, 504),
    ("trace3_pr", 992, 9_346, 0, 46_489_935_000, 420_084_355, 504),
    ("trace4", 2_638, 5_310, 8_704_966_198_000, 314_808_424_000, 737_647_571, 1_292),
    ("trace4_pr", 2_638, 5_310, 0, 314_808_424_000, 737_647_571, 1_292),
]
# file, jobs, GPUs, sums of submit, run and deadline seconds, deadlines shorter than the run
ELASTICFLOW = [
    ("philly_103959.csv", 876, 1_899, 3_554_454_214, 49_556_598, 3_602_487_475, 466),
    ("elasticVpollux_e.csv", 195, 572, 738_550_646, 21_791_322, 760_650_392, 94),
    ("resnet_cifar_trace.csv", 5, 5, 323_419, 21_682, 436_358, 0),
]
# file, jobs, GPUs, steps, sum of arrival seconds
GAVEL = [
    ("artifact_evaluation", 15, 18, 304_697, 0),
    ("debug", 14, 17, 3_230_357, 0),
    ("debug_v2", 14, 17, 2_576_357, 0),
    ("highmem_test", 8, 9, 26_386, 0),
    ("max_min_fairness", 96, 169, 18_166_806, 1_384_269),
    ("medium_test", 20, 20, 5_484_967, 0),
    ("minimize_makespan", 100, 175, 42_596_220, 0),
    ("small_test", 20, 23, 53_402, 0),
    ("msr_seed0/0e4a51", 1_181, 3_236, 6_815_877_024, 3_539_589_812),
    ("msr_seed0/103959", 986, 2_364, 1_916_994_894, 4_071_092_814),
    ("msr_seed0/11cb48", 2_000, 4_405, 2_876_472_301, 11_010_189_418),
    ("msr_seed0/23dbec", 9, 58, 4_632_861, 1_304_270),
    ("msr_seed0/2869ce", 533, 5_425, 1_339_392_653, 2_103_354_054),
    ("msr_seed0/51b7ef", 18, 115, 13_170_120, 14_074_638),
    ("msr_seed0/6214e9", 2_000, 2_214, 17_063_947_829, 7_842_418_857),
    ("msr_seed0/6c71a0", 2_000, 3_270, 7_838_777_082, 4_076_117_281),
    ("msr_seed0/795a4c", 3, 3, 85_353, 4_873),
    ("msr_seed0/7f04ca", 972, 4_430, 13_913_721_875, 5_733_923_106),
    ("msr_seed0/925e2b", 4, 25, 1_432_336, 32_779),
    ("msr_seed0/b436b2", 2_000, 4_234, 4_380_179_281, 4_850_748_061),
    ("msr_seed0/e13805", 607, 2_875, 2_274_692_625, 2_848_898_820),
    ("msr_seed0/ed69ec", 951, 951, 3_232_740_580, 3_040_385_189),
    ("msr_seed0/ee9e8c", 2_000, 8_587, 9_875_481_880, 5_538_622_562),
]
# folder, files, jobs, replicas, cifar10 jobs, sum of submit seconds
SIA = [
    ("newtrace", 10, 9_600, 89_126, 5_047, 767_326_954.921),
    ("philly", 8, 1_280, 12_866, 998, 19_299_584.0),
    ("scale/rate_10", 10, 800, 6_714, 667, 9_912_264.0),
    ("scale/rate_20", 10, 1_600, 13_342, 1_314, 19_816_009.0),
    ("scale/rate_30", 10, 2_400, 20_044, 1_967, 29_594_919.0),
    ("scale/rate_40", 10, 3_200, 26_654, 2_598, 39_418_536.0),
    ("scale/rate_50", 10, 4_000, 33_286, 3_265, 49_435_203.0),
    ("scale/scale_2x", 10, 3_200, 29_284, 2_628, 39_632_018.0),
    ("scale/scale_4x", 10, 6_400, 58_568, 5_256, 79_264_036.0),
    ("scale/scale_8x", 10, 12_800, 117_136, 10_512, 158_528_072.0),
    ("scale/scale_16x", 10, 25_600, 234_272, 21_024, 317_056_144.0),
    ("scale/scale_32x", 10, 51_200, 468_544, 42_048, 634_112_288.0),
]
# Not job lists: path, format, rows, a word of the reason.
NO_JOBS = [
    ("helios/Venus_cluster_throughput.csv.gz", "helios", 26_064, "steps of 10 minutes"),
    ("alibaba2026spot/node_info_df.csv", "alibaba-spot", 4_278, "list of nodes"),
    ("openb/openb_node_list_all_node.csv", "openb", 1_523, "list of nodes"),
    ("openb/openb_node_list_gpu_node.csv", "openb", 1_213, "list of nodes"),
    ("openb/openb_pod_list_multigpu20.csv", "openb", 8_324, "no creation"),
    ("openb/openb_pod_list_multigpu30.csv", "openb", 8_508, "no creation"),
    ("openb/openb_pod_list_multigpu40.csv", "openb", 8_746, "no creation"),
    ("openb/openb_pod_list_multigpu50.csv", "openb", 9_061, "no creation"),
    ("alibaba2026genai/data_trace_processed.tar.gz", "alibaba-genai", 68_195, "no arrival time"),
    *(
        (f"alibaba2026genai/{name}.tar.gz", "alibaba-genai", rows, "series")
        for name, rows in (
            ("basemodel_update_latency_anon", 7_531),
            ("controlnet_latency_data_anon", 29_221),
            ("lora_update_latency_anon", 27_415),
            ("model_predict_data_anon", 6_254),
            ("pipeline_inference_data_anon", 34_421),
            ("pipeline_update_latency_anon", 36_046),
            ("pod_gpu_duty_cycle_anon", 157_417),
            ("pod_gpu_memory_used_bytes_anon", 161_413),
            ("pod_memory_util_anon", 214_890),
            ("qps", 24_627),
            ("queue_rt_raw_anon", 23_478),
            ("queue_size_raw_anon", 1_434),
        )
    ),
]
DLRM = "alibaba2025dlrm/disaggregated_DLRM_trace.csv.gz"
GENAI = "alibaba2026genai/lora_request_trace.tar.gz"
AZURE = [
    ("azure-llm/AzureLLMInferenceTrace_code.csv.gz", 8_819, 18_059_974, 245_896),
    ("azure-llm/AzureLLMInferenceTrace_conv.csv.gz", 19_366, 22_361_870, 4_088_665),
]
PHILLY = "philly/philly.csv.gz"


def devices_milli(workload: Workload) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return workload.nodes.astype(np.int64) * workload.devices_milli


def sia_files() -> list[str]:
    return [
        f"sia-workloads/{folder}/workload-{number}.csv"
        for folder, files, *_ in SIA
        for number in range(1, files + 1)
    ]


def test_no_recorded_file_is_left_out() -> None:
    root = shared_trace("README.md").parent
    named = {
        *(f"swf/{row[0]}" for row in SWF),
        *(f"openb/openb_pod_list_{row[0]}.csv" for row in OPENB),
        *(f"gaia/{row[0]}" for row in GAIA),
        *(f"muri/{row[0]}.csv" for row in MURI),
        *(f"elasticflow/{row[0]}" for row in ELASTICFLOW),
        *(f"gavel/{row[0]}.trace" for row in GAVEL),
        *sia_files(),
        *(row[0] for row in NO_JOBS),
        *(row[0] for row in AZURE),
        DLRM,
        GENAI,
        PHILLY,
        "README.md",
    }
    there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    # Results that others published, to compare with: no recording.
    there = {name for name in there if not name.startswith("openb/expected_results/")}
    assert there == named


@pytest.mark.parametrize("row", SWF, ids=lambda row: row[0])
def test_swf(row: tuple[str, int, int, int, int, int, int, int]) -> None:
    name, rows, jobs, processors, seconds, work, estimates, homes = row
    path = shared_trace(f"swf/{name}")
    workload = read_workload(path)
    assert columns_of_bytes(open_source(path)) is not None  # the fast way
    assert workload.format == "swf"
    assert (workload.rows_read, len(workload)) == (rows, jobs)
    assert int(workload.nodes.sum()) == processors
    assert int(workload.duration_ms.sum()) == seconds * 1_000
    assert int((workload.nodes * workload.duration_ms).sum()) == work * 1_000
    assert int((workload.estimate_ms > 0).sum()) == estimates
    assert int(workload.home.max()) + 1 == homes
    assert workload.priority is None
    assert workload.kind_mask is None


@pytest.mark.parametrize("row", OPENB, ids=lambda row: row[0])
def test_openb(row: tuple[str, int, int, int, int, int, int, int, tuple[int, int, int]]) -> None:
    name, rows, jobs, gpus, seconds, work, named, never, classes = row
    workload = read_workload(shared_trace(f"openb/openb_pod_list_{name}.csv"))
    assert (workload.format, workload.rows_read, len(workload)) == ("openb", rows, jobs)
    assert int(devices_milli(workload).sum()) == gpus
    assert int(workload.duration_ms.sum()) == seconds * 1_000
    exact = int((devices_milli(workload) * (workload.duration_ms // 1_000)).sum())
    assert round(exact / 1_000) == pytest.approx(work, abs=1)
    assert any(note.startswith(f"{never} tasks were never") for note in workload.notes)
    assert workload.priority is not None
    assert tuple(np.bincount(workload.priority).tolist()) == classes
    if named:
        assert workload.kind_mask is not None
        assert int((workload.kind_mask != 0).sum()) == named
    else:
        assert workload.kind_mask is None


def test_openb_kinds() -> None:
    workload = read_workload(shared_trace("openb/openb_pod_list_gpuspec33.csv"))
    assert workload.kind_names == ("A10", "G2", "G3", "P100", "T4", "V100M16", "V100M32")
    assert workload.kind_mask is not None
    able = {
        name: int((workload.kind_mask >> bit & 1).sum())
        for bit, name in enumerate(workload.kind_names)
    }
    assert (able["T4"], able["A10"], able["G3"]) == (1_399, 33, 86)


@pytest.mark.parametrize("row", GAIA, ids=lambda row: row[0])
def test_gaia(row: tuple[str, int, int, str, float, float]) -> None:
    name, jobs, cpus, unit, run, work = row
    workload = read_workload(shared_trace(f"gaia/{name}"))
    ms = {"hours": 3_600_000, "seconds": 1_000}[unit]
    assert (workload.format, workload.rows_read, len(workload)) == ("gaia", jobs, jobs)
    assert workload.notes[0].startswith(f"times read as {unit} (found")
    assert int(workload.nodes.sum()) == cpus
    assert workload.duration_ms.sum() / ms == pytest.approx(run, abs=0.01)
    assert (workload.nodes * workload.duration_ms).sum() / ms == pytest.approx(work, abs=0.01)


def test_philly() -> None:
    workload = read_workload(shared_trace(PHILLY))
    assert (workload.format, workload.rows_read, len(workload)) == ("philly", 82_247, 82_247)
    assert int(workload.nodes.sum()) == 107_235
    assert int((workload.nodes > 1).sum()) == 5_620
    assert int(workload.duration_ms.sum()) == 1_080_390_950_000
    assert int((workload.nodes * workload.duration_ms).sum()) == 3_521_082_502_000
    assert int(workload.home.max()) == 14
    # Virtual cluster 6214e9 is the seventh in alphabetical order.
    assert int((workload.home == 6).sum()) == 41_226


def test_philly_holds_the_jobs_that_elasticflow_took_from_it() -> None:
    """Two files made from one trace by different hands: the same gaps, run times and GPUs."""
    whole = read_workload(shared_trace(PHILLY))
    part = read_workload(shared_trace("elasticflow/philly_103959.csv"))
    here = whole.home == 1  # virtual cluster 103959
    found = {
        (int(at), int(ms), int(gpus))
        for at, ms, gpus in zip(
            whole.submit_ms[here] - whole.submit_ms[here][0],
            whole.duration_ms[here],
            whole.nodes[here],
            strict=True,
        )
    }
    same = sum(
        (int(at), int(ms), int(gpus)) in found
        for at, ms, gpus in zip(part.submit_ms, part.duration_ms, part.nodes, strict=True)
    )
    assert same == len(part)


def test_muri_holds_the_arrivals_of_gavel_in_milliseconds() -> None:
    """Both took Philly's virtual cluster 0e4a51; Gavel states seconds."""
    path = shared_trace("gavel/msr_seed0/0e4a51.trace")
    rows = path.read_text(encoding="utf-8").splitlines()
    gavel = Counter(round(float(row.split("\t")[5]) * 1_000) for row in rows)
    muri = Counter(read_workload(shared_trace("muri/trace4.csv")).submit_ms.tolist())
    assert (gavel & muri).total() == len(rows)


def test_gangs_on_nodes_of_eight() -> None:
    options = TraceOptions(devices_per_node=8)
    alone = read_workload(shared_trace(PHILLY))
    packed = read_workload(shared_trace(PHILLY), options=options)
    assert (devices_milli(packed) == devices_milli(alone)).all()
    assert int(packed.devices_milli.max()) == 8_000
    assert (packed.nodes[devices_milli(packed) <= 8_000] == 1).all()
    assert (packed.devices_milli[devices_milli(packed) == 12_000] == 6_000).all()


@pytest.mark.parametrize("row", MURI, ids=lambda row: row[0])
def test_muri(row: tuple[str, int, int, int, int, int, int]) -> None:
    name, jobs, gpus, submit_ms, run_ms, work, guaranteed = row
    workload = read_workload(shared_trace(f"muri/{name}.csv"))
    assert (workload.format, workload.rows_read, len(workload)) == ("muri", jobs, jobs)
    assert int(workload.nodes.sum()) == gpus
    assert int(workload.submit_ms.sum()) == submit_ms
    assert int(workload.duration_ms.sum()) == run_ms
    assert (workload.nodes * workload.duration_ms).sum() / 1_000 == pytest.approx(work, abs=1)
    assert workload.priority is not None
    assert int(workload.priority.sum()) == guaranteed
    assert any("_pr variant" in note for note in workload.notes) == name.endswith("_pr")


@pytest.mark.parametrize("row", ELASTICFLOW, ids=lambda row: row[0])
def test_elasticflow(row: tuple[str, int, int, int, int, int, int]) -> None:
    name, jobs, gpus, submit, run, deadline, tight = row
    workload = read_workload(shared_trace(f"elasticflow/{name}"))
    assert (workload.format, workload.rows_read, len(workload)) == ("elasticflow", jobs, jobs)
    assert int(workload.nodes.sum()) == gpus
    assert int(workload.submit_ms.sum()) == submit * 1_000
    assert int(workload.duration_ms.sum()) == run * 1_000
    assert int(workload.deadline_ms.sum()) == deadline * 1_000
    short = workload.deadline_ms - workload.submit_ms < workload.duration_ms
    assert int(short.sum()) == tight


@pytest.mark.parametrize("row", GAVEL, ids=lambda row: row[0])
def test_gavel(row: tuple[str, int, int, int, int]) -> None:
    name, jobs, gpus, steps, arrivals = row
    path = shared_trace(f"gavel/{name}.trace")
    with pytest.raises(NoJobList) as told:
        read_workload(path)
    assert len(told.value.table) == jobs
    types = told.value.table.cells["job_type"].unique().to_list()
    workload = read_workload(path, options=TraceOptions(steps_per_s=dict.fromkeys(types, 10.0)))
    assert (workload.format, workload.rows_read, len(workload)) == ("gavel", jobs, jobs)
    assert int(workload.nodes.sum()) == gpus
    assert int(workload.duration_ms.sum()) == steps * 100
    assert int(workload.submit_ms.sum()) == arrivals * 1_000


def test_gavel_data_sets() -> None:
    path = shared_trace("gavel/msr_seed0/0e4a51.trace")
    with pytest.raises(NoJobList) as told:
        read_workload(path)
    types = told.value.table.cells["job_type"].unique().to_list()
    workload = read_workload(path, options=TraceOptions(steps_per_s=dict.fromkeys(types, 10.0)))
    assert workload.dataset is not None
    # cifar10, imagenet, ml-20m, monet2photo, translation, wikitext2; A3C plays and reads none.
    counts = np.bincount(workload.dataset[workload.dataset >= 0])
    assert counts.tolist() == [259, 154, 223, 53, 237, 213]
    assert int((workload.dataset < 0).sum()) == 42


@pytest.mark.parametrize("row", SIA, ids=lambda row: row[0])
def test_sia(row: tuple[str, int, int, int, int, float]) -> None:
    folder, files, jobs, replicas, cifar10, submitted = row
    figures = {"bert": 1.0, "deepspeech2": 1.0, "imagenet": 1.0, "yolov3": 1.0, "cifar10": 2.0}
    read = [
        read_workload(
            shared_trace(f"sia-workloads/{folder}/workload-{number}.csv"),
            options=TraceOptions(run_s=figures),
        )
        for number in range(1, files + 1)
    ]
    assert {workload.format for workload in read} == {"sia"}
    assert sum(map(len, read)) == sum(workload.rows_read for workload in read) == jobs
    assert sum(int(workload.nodes.sum()) for workload in read) == replicas
    twice = sum(int((workload.duration_ms == 2_000).sum()) for workload in read)
    assert twice == cifar10
    total = sum(int(workload.submit_ms.sum()) for workload in read)
    assert total / 1_000 == pytest.approx(submitted, abs=jobs * 0.0005)


@pytest.mark.parametrize("row", AZURE, ids=lambda row: row[0])
def test_azure_llm(row: tuple[str, int, int, int]) -> None:
    name, jobs, context, answer = row
    options = TraceOptions(tokens_per_s_in=1_000, tokens_per_s_out=10, request_devices_milli=125)
    workload = read_workload(shared_trace(name), options=options)
    assert (workload.format, workload.rows_read, len(workload)) == ("azure-llm", jobs, jobs)
    # 1 ms a token read, 100 ms a token written.
    assert int(workload.duration_ms.sum()) == context + 100 * answer
    assert set(workload.devices_milli.tolist()) == {125}
    assert 18 * 3_600_000 < int(workload.submit_ms[0]) < int(workload.submit_ms[-1])
    with pytest.raises(NoJobList) as told:
        read_workload(shared_trace(name), options=TraceOptions(tokens_per_s_in=1_000))
    assert [fault.remedy for fault in told.value.faults] == [
        "State it: option tokens_per_s_out.",
        "State it: option request_devices_milli.",
    ]


def test_alibaba_dlrm() -> None:
    workload = read_workload(shared_trace(DLRM))
    assert (workload.format, workload.rows_read) == ("alibaba-dlrm", 23_871)
    assert len(workload) == 12_374
    assert [dropped.rows for dropped in workload.dropped] == [7_280, 4_201, 16]
    assert int(workload.devices_milli.sum()) == 3_202_000
    assert int(workload.cpus_milli.sum()) == 704_412_000
    assert int(workload.memory_mib.astype(np.int64).sum()) == round(3_549_914.5 * 1_024)
    assert int(workload.duration_ms.sum()) == 1_269_863_149_000
    assert int((workload.duration_ms * (workload.devices_milli // 1_000)).sum()) == 263_617_862_000
    assert len(np.unique(workload.user)) == 151


def test_alibaba_dlrm_to_the_end_of_the_recording() -> None:
    workload = read_workload(shared_trace(DLRM), options=TraceOptions(unfinished="until-end"))
    assert len(workload) == 23_855
    assert int(workload.duration_ms.sum()) == 21_191_056_438_000
    assert int((workload.duration_ms * (workload.devices_milli // 1_000)).sum()) == (
        8_553_151_716_000
    )
    assert "7280 instances began before the recording" in workload.notes[0]


def test_alibaba_genai_requests() -> None:
    workload = read_workload(shared_trace(GENAI))
    assert (workload.format, workload.rows_read) == ("alibaba-genai", 26_823)
    assert len(workload) == 26_790
    assert int(workload.duration_ms.sum()) == 768_803_000
    assert len(np.unique(workload.user)) == 4_244
    assert workload.dataset is not None
    assert len(np.unique(workload.dataset)) == 86
    notes = "\n".join(workload.notes)
    assert "398 failed requests kept" in notes
    assert "1000 thousandths of one device (assumed" in notes
    told = read_workload(shared_trace(GENAI), options=TraceOptions(request_devices_milli=500))
    assert set(told.devices_milli.tolist()) == {500}
    assert "500 thousandths of one device (as told)" in "\n".join(told.notes)


@pytest.mark.parametrize("row", NO_JOBS, ids=lambda row: row[0])
def test_what_is_no_job_list_is_described_and_refused(row: tuple[str, str, int, str]) -> None:
    name, format, rows, reason = row
    path = shared_trace(name)
    with pytest.raises(NoJobList, match=reason):
        read_workload(path)
    found = describe_file(path)
    assert (found.format, found.rows_read, found.jobs) == (format, rows, None)
    assert reason in found.refused[0]
    assert f"rows read     {rows}" in found.lines
    assert any("median" in line for line in found.lines)


def test_helios_totals_are_shown() -> None:
    lines = describe_file(shared_trace(NO_JOBS[0][0])).lines
    totals = {line.split()[0]: line.split()[1] for line in lines if " in all" in line}
    assert totals["submit_job_all"] == "246,616"
    assert totals["end_gpu_num"] == "843,542"


def test_spot_nodes_by_model_are_shown() -> None:
    lines = describe_file(shared_trace(NO_JOBS[1][0])).lines
    models = [line.split() for line in lines if " nodes " in line]
    assert ["H800", "219", "nodes", "1,752", "GPUs"] in models
    assert sum(int(model[1].replace(",", "")) for model in models) == 4_278


def test_formats_are_all_recorded() -> None:
    read = {"swf", "openb", "gaia", "philly", "muri", "elasticflow", "gavel", "sia", "azure-llm"}
    assert set(FORMATS) == read | {"alibaba-dlrm", "alibaba-genai", "alibaba-spot", "helios"}


def test_a_file_is_known_by_its_first_line_only(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,time,application,replicas,batch_size\na,1,bert,2,8\n", encoding="utf-8")
    with pytest.raises(InputFaults, match="fits no known trace format") as told:
        read_workload(path)
    assert told.value.faults[0].remedy == "Say the format; nearest by its columns: sia."
    path.write_text("hello\n", encoding="utf-8")
    with pytest.raises(InputFaults, match="there are: swf, openb, gaia"):
        read_workload(path)
    head = ",".join(OPENB_FIELDS)
    path.write_text(f"{head}\npod-0,1,1,1,1000,,LS,Running,0,10,0\n", encoding="utf-8")
    assert read_workload(path).format == "openb"


def test_a_doubtful_file_is_not_guessed(tmp_path: Path) -> None:
    """Ten tab-separated columns are Gavel's; the comment line says SWF."""
    path = tmp_path / "x.txt"
    path.write_text("\t".join(["; a", *"bcdefghij"]) + "\n1 2\n", encoding="utf-8")
    with pytest.raises(InputFaults, match="the file may be any of swf, gavel"):
        read_workload(path)

"""benchmarks/RESULTS.md from what was measured."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
BASE_MB = 120


def page(measured: Found) -> str:
    lines = [
        "# Measured speed",
        "",
        "Written by `make bench` (benchmarks/run.py); the figures stand in benchmarks/measured.json.",
        "One core, one process a measurement, CPU seconds of the rehearsal (loop, charges, sums), "
        "making the jobs left out. Generated jobs (formats.generate.NATIONAL: gangs of 1 to 1,024 "
        "devices, mean 8, mean run 1 h, offered load 0.9) on 40 sites × 25,000 accelerators "
        "(benchmarks/national.py), EASY of depth 64 with wrong estimates, one choice over all pools "
        "by device price, power, carbon, transfer and wait. The machine is shared: read the ratios; "
        "the load average is that at the end of each measurement.",
        "",
        "| row | figure | measured | at least | goal | load |",
        "|---|---|---|---|---|---|",
    ]
    for number, write in _ROWS.items():
        if number in measured:
            lines += write(measured[number])
    lines += ["", "Commands:", ""]
    for number, found in measured.items():
        commands = sorted(set(_commands(found)))
        lines += [f"- row {number}: `{command}`" for command in commands]
    machines = sorted({str(found["machine"]) for found in measured.values()})
    lines += ["", f"Machine: {'; '.join(machines)}.", "", *_notes(measured)]
    return "\n".join(lines) + "\n"


def _commands(found: Any) -> list[str]:
    if not isinstance(found, dict):
        return []
    own = [str(found["command"])] if "command" in found else []
    return own + [one for value in found.values() for one in _commands(value)]


def _row(number: str, what: str, figure: str, least: str, goal: str, load: float) -> str:
    return f"| {number} | {what} | **{figure}** | {least} | {goal} | {load:.1f} |"


def _speed(number: str, what: str, least: str, goal: str, found: Found) -> list[str]:
    run = found["run"]
    figure = f"{run['jobs_per_cpu_s']:,.0f} jobs / CPU s"
    return [_row(number, f"{run['jobs']:,} jobs{what}", figure, least, goal, run["load_average"])]


def _one_choice(found: Found) -> list[str]:
    return _speed("1", ", one choice each", "250,000", "600,000", found)


def _deferrable(found: Found) -> list[str]:
    return _speed("2", ", 24 candidate start hours for 20 %", "150,000", "450,000", found)


def _everything(found: Found) -> list[str]:
    what = ", by nodes, kinds, shadow prices, shared links, preemption, fair share"
    lines = _speed("3", what, "60,000", "250,000", found)
    for name, run in found["alone"].items():
        figure = f"{run['jobs_per_cpu_s']:,.0f} jobs / CPU s"
        lines.append(
            _row("3", f"{run['jobs']:,} jobs, {name}", figure, "", "", run["load_average"])
        )
    return lines


def _long(found: Found) -> list[str]:
    run = found["run"]
    figure = (
        f"{run['cpu_s'] / 60:.1f} CPU min ({run['total_cpu_s'] / 60:.1f} with making the jobs, "
        f"{run['wall_s'] / 60:.1f} min by the wall clock), {run['peak_rss_mb'] / 1024:.2f} GB"
    )
    return [
        _row("4", f"{run['jobs']:,} jobs, streamed", figure, "≤ 8 GB", "≤ 5 min, ≤ 5 GB",
             run["load_average"])
    ]  # fmt: skip


def _flat(found: Found) -> list[str]:
    few, many = found["few"], found["many"]
    figure = (many["cpu_s"] / many["jobs"]) / (few["cpu_s"] / few["jobs"])
    what = f"time per job at {many['jobs']:,} over that at {few['jobs']:,}"
    empty = f"{what}, both from an empty network"
    lines = [_row("5", empty, f"{figure:.2f}", "≤ 1.3", "≤ 1.1", many["load_average"])]
    if "filled" in found:
        full = found["filled"]
        what = (
            f"time per job of the {full['many_jobs']:,} after the first {full['filled_by']:,}, over "
            f"that of the first {full['few_jobs']:,} of them"
        )
        figure = f"{full['ratio']:.2f} ({full['many_us']:.2f} against {full['few_us']:.2f} µs)"
        lines.append(_row("5", what, figure, "≤ 1.3", "≤ 1.1", full["load_average"]))
    return lines


def _memory(found: Found) -> list[str]:
    lines = []
    for way, name in (("streamed", "streamed"), ("in_memory", "in memory, every result kept")):
        run = found[way]
        beyond = max(0.0, run["peak_rss_mb"] - BASE_MB) * 1024 * 1024 / run["jobs"]
        figure = f"{beyond:.0f} B ({run['peak_rss_mb']:.0f} MB)"
        what = f"memory per job beyond {BASE_MB} MB, {run['jobs']:,} jobs {name}"
        lines.append(_row("6", what, figure, "≤ 120 B", "≤ 50 B", run["load_average"]))
    return lines


def _accasim(found: Found) -> list[str]:
    ours, theirs = found["ours"], found["theirs"]
    their_speed = theirs["jobs"] / theirs["cpu_s"]
    lines = []
    for key, seconds, what in (
        ("with_reading", "cpu_s", "reading the log included"),
        ("without_reading", "simulate_s", "our reading left out, theirs not (it streams)"),
    ):
        least, median, most = found[key]
        figure = (
            f"{median:.0f} × ({least:.0f} to {most:.0f}): {ours['jobs'] / ours[seconds]:,.0f} "
            f"against {their_speed:,.0f} jobs / CPU s"
        )
        lines.append(
            _row("7", f"AccaSim 1.1.3 on SDSC-SP2, EASY, {what}", figure, "≥ 60 ×", "≥ 200 ×",
                 ours["load_average"])
        )  # fmt: skip
    return lines


def _cpp(found: Found) -> list[str]:
    lines = []
    for run in (found[size] for size in ("few", "many") if size in found):
        figure = (
            f"{run['ratio']:.2f} ({run['westward']['cpu_s']:.2f} against "
            f"{run['twin']['cpu_s']:.2f} CPU s, checksum {run['twin']['checksum']} in both)"
        )
        what = f"C++ twin, {run['westward']['jobs']:,} jobs, identical schedule"
        lines.append(_row("8", what, figure, "≥ 0.35", "≥ 0.7", run["load_average"]))
    return lines


def _start_up(found: Found) -> list[str]:
    figure = f"{found['first_s']:.1f} s / {found['later_s']:.1f} s"
    return [
        _row("15", "`westward simulate` of 200 jobs by the wall clock: first / later", figure,
             "10 s / 2 s", "3 s / 1 s", found["load_average"])
    ]  # fmt: skip


def _notes(measured: Found) -> list[str]:
    lines = []
    if "8" in measured:
        lines += [
            "Row 8: benchmarks/twin_cpp/twin.cpp, `g++ -O3 -march=native -ffp-contract=off`: the same "
            "rules, written straightforwardly; the checksum is over (row, pool, start) of every job. "
            "It walks each queue as a list and makes the head's reservation anew after every end, "
            "where Westward keeps both (placement/window.py): hence the better ratio of long runs. It "
            "keeps sums only, as Westward does here, and has none of the tests for what this row does "
            "not use (kinds, deadlines, residency, priorities, wait intervals).",
            "",
        ]
    if "7" in measured:
        lines += [
            "Row 7: Westward's reader leaves out the log's rows with no run time (it says so); "
            "AccaSim takes them as jobs. Both in turn, pair by pair: median (least to most).",
            "",
        ]
    if "filled" in measured.get("5", {}):
        share = measured["5"]["filled"]["occupied_by_few"]
        lines += [
            "Row 5 asks for the same load factor. 100,000 jobs arrive within an hour, as long as a run "
            f"lasts, so a rehearsal of them alone takes place on a network that is {share:.0%} full on "
            "average, where ten million see it at 90 %: the first line compares an emptier network with "
            "a full one, the second a full one with itself later on.",
            "",
        ]
    if "6" in measured:
        lines += [
            "Row 6: the streamed run keeps what is alive; its memory does not grow with the jobs, so "
            "its figure falls as they grow. In memory every job's request and results are kept.",
            "",
        ]
    return lines[:-1]


_ROWS = {
    "1": _one_choice,
    "2": _deferrable,
    "3": _everything,
    "4": _long,
    "5": _flat,
    "6": _memory,
    "7": _accasim,
    "8": _cpp,
    "15": _start_up,
}

"""The minutes of a soak as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PANELS = (
    ("Resident memory [MiB]", {"server_rss_kib": "server", "agent_rss_kib": "agent"}, 1 / 1024),
    ("Open handles", {"server_handles": "server", "agent_handles": "agent"}, 1),
    ("Threads", {"server_threads": "server", "agent_threads": "agent"}, 1),
    (
        "Submit one job [ms]",
        {"submit_p50_ms": "median", "submit_p99_ms": "99 %"},
        1,
    ),
    ("Renew five leases [ms]", {"renew_p50_ms": "median", "renew_p99_ms": "99 %"}, 1),
    ("Database [MiB]; grows by design", {"database_mib": "file and log"}, 1),
)


def draw(rows: Sequence[dict[str, float]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(10, 9), sharex=True)
    minutes = [row["at_s"] / 60 for row in rows]
    for axis, (title, series, factor) in zip(axes.flat, PANELS, strict=True):
        for name, label in series.items():
            axis.plot(minutes, [row[name] * factor for row in rows], marker=".", label=label)
        axis.set_title(title, fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    last = rows[-1]
    figure.suptitle(
        f"Soak: {last['jobs']:.0f} jobs in {minutes[-1]:.0f} minutes; "
        f"load of the machine {min(r['load'] for r in rows):.0f} to "
        f"{max(r['load'] for r in rows):.0f} on two cores",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)

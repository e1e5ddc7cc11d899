"""Westward's meter against Slurm's account, run by run: the table of ``make test-wide``."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run. ``slurm_s`` None: it was not Slurm's, or sacct has no such job."""

    job_id: str
    name: str
    attempt: int
    site: str
    outcome: str
    metered_ms: int
    slurm_s: int | None
    slurm_state: str = ""

    @property
    def difference_ms(self) -> int | None:
        """Metered − Slurm's."""
        return None if self.slurm_s is None else self.metered_ms - 1000 * self.slurm_s


def rows_of(
    jobs: Sequence[Mapping[str, object]],
    metered_ms: Mapping[str, int],
    accounts: Mapping[str, Mapping[str, Mapping[str, str]]],
) -> tuple[Row, ...]:
    """By job id and attempt. ``metered_ms`` by run; ``accounts``: by Slurm site, by run."""
    rows = []
    for job in sorted(jobs, key=lambda one: str(one["job_id"])):
        runs = job["runs"]
        assert isinstance(runs, list)
        for run in runs:
            account = accounts.get(run["site"], {}).get(run["run_id"])
            rows.append(
                Row(
                    job_id=str(job["job_id"]),
                    name=str(job["name"]),
                    attempt=run["attempt"],
                    site=run["site"],
                    outcome=str(run["outcome"]),
                    metered_ms=metered_ms[run["run_id"]],
                    slurm_s=None if account is None else int(account["ElapsedRaw"]),
                    slurm_state="" if account is None else account["State"],
                )
            )
    return tuple(rows)


def table(rows: Sequence[Row]) -> str:
    """Markdown; sums below."""
    lines = [
        "| job | run | site | ended | Slurm says | Slurm s | metered s | difference s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        difference = row.difference_ms
        cells = (
            row.job_id.removeprefix("job_"),
            str(row.attempt),
            row.site,
            row.outcome,
            row.slurm_state,
            "" if row.slurm_s is None else str(row.slurm_s),
            f"{row.metered_ms / 1000:.3f}",
            "" if difference is None else f"{difference / 1000:+.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    both = [row for row in rows if row.slurm_s is not None]
    slurm_s = sum(row.slurm_s or 0 for row in both)
    metered_ms = sum(row.metered_ms for row in both)
    lines.append(
        f"| all {len(both)} of Slurm | | | | | {slurm_s} | {metered_ms / 1000:.3f} |"
        f" {metered_ms / 1000 - slurm_s:+.3f} |"
    )
    return "\n".join(lines) + "\n"


def page(
    rows: Sequence[Row], round_trips_ms: Mapping[str, float], store_sent: int, took_s: float
) -> str:
    """The table with what a reader needs to repeat it."""
    trips = ", ".join(f"{site} {ms:.1f}" for site, ms in round_trips_ms.items())
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    differences = sorted(row.difference_ms for row in rows if row.difference_ms is not None)
    whole = len({row.job_id for row in rows})
    return (
        "# Fifty jobs over four sites\n\n"
        "Written by `make test-wide WIDE=benchmarks/WIDE.md` (tests/wide). Two Slurm clusters with"
        " slurmdbd (alpha, beta), a Ray cluster and a local site (home, beside the server) on one"
        " machine; alpha, beta and ray in network namespaces of their own behind lines of 8, 20"
        " and 30 ms one way, joined by `westward site join` over HTTPS. Cards are links to"
        " /dev/null of which the engines hand out the numbers; delays are made in user space"
        " (tests/wide/relay.py).\n\n"
        f"Machine: {platform.platform()}, {os.cpu_count()} cores; load at the end {load} (others"
        " work on it too). Round trips measured from each site to the server, in ms: "
        f"{trips}. {whole} jobs, {len(rows)} runs, {took_s:.0f} s from the first submission to the"
        f" last bill; {store_sent / 1e9:.3f} GB left the S3 store for four readers.\n\n"
        "*Slurm s* is sacct's elapsed time in whole seconds, *metered s* what the server holds of"
        " the run's meter, *difference* metered minus Slurm's: least"
        f" {differences[0] / 1000:+.3f}, greatest {differences[-1] / 1000:+.3f}. The meter starts"
        " with the supervisor inside the Slurm job, so it should be behind; it can be ahead by"
        " less than a second because Slurm's time is a difference of whole seconds.\n\n"
        + table(rows)
    )

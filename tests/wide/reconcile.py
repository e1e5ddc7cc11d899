"""Westward's meter against Slurm's account, run by run: the table of ``make test-wide``."""

from __future__ import annotations

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

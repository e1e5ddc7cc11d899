"""Rows of one job or another that cannot be: as a bug or a hand at the database would leave them.

The server must set that job aside, tell so, and go on with all the others; once the row is as it
was, the job goes on too. Only jobs of which nothing runs are spoiled, so that the truth stays clear.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from westward.faultsim.poison import poisoned_place, poisoned_spec

WAITING = ("pending", "held", "bound")
PAUSE = '{"kind":"suspend","by":"nobody"}'
NO_UNIT = "XXX"
"""ISO 4217's code for no currency: an account in it fits no transfer."""
NO_OPTIONS = "nothing that it could run on"
"""Of a job's own text, which can be read: it is the planner that cannot do with it."""
JOB_SPOILS: tuple[tuple[str, object], ...] = (
    ("attempts_max", 0),
    ("attempts_max", -1),
    ("finished_ms", 1),
    ("ending", "it ended, and did not"),
    ("holds", None),
    (
        "holds",
        '[{"code":"retry","text":"","until_ms":null},{"code":"retry","text":"","until_ms":5}]',
    ),
    ("holds", '[{"code":"after","text":"","until_ms":null}]'),
    ("pause", PAUSE),
    ("bound", None),
    ("state", "leased"),
    ("state", "running"),
    ("state", "suspending"),
    ("state", "pending"),
    ("spec", "{"),
    ("spec", "[]"),
    ("spec", NO_OPTIONS),
    ("spec", NO_OPTIONS),
)
RUN_SPOILS: tuple[tuple[str, object], ...] = (
    ("attempt", 9),
    ("ended_ms", None),
)


@dataclass(frozen=True, slots=True)
class _Spoiled:
    table: str
    column: str
    where: str
    key: object
    was: object
    now: object
    version: int | None
    """Of a job when it was spoiled."""


class Spoiler:
    """``ever``: ids of jobs that were spoiled, for those who judge what was logged."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.ever: set[str] = set()
        self.rewritten: set[str] = set()
        """Of them those whose own text was replaced by another that can be read."""
        self.of_money = False
        """Whether an account was."""
        self._spoiled: list[_Spoiled] = []

    @property
    def now(self) -> bool:
        return bool(self._spoiled)

    def _waits(self, job_id: str) -> bool:
        """Nothing of it runs, it is not over, and it was never spoiled."""
        row = self._run("SELECT state FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        live = self._run("SELECT 1 FROM runs WHERE job_id = ? AND live = 1", (job_id,)).fetchone()
        return job_id not in self.ever and row is not None and row[0] in WAITING and live is None

    def poison(self, job_id: str, number: int) -> str:
        """As ``spoil``: the row can be read, and nothing can be planned with it."""
        if not self._waits(job_id):
            return ""
        spec, bound = self._run(
            "SELECT spec, bound FROM jobs WHERE job_id = ?", (job_id,)
        ).fetchone()
        column, text = ("spec", poisoned_spec(spec, number // 2))
        if bound is not None and number % 2:
            column, text = ("bound", poisoned_place(bound, number // 2))
        self.ever.add(job_id)
        if column == "spec":
            self.rewritten.add(job_id)
        return self._put("jobs", column, "job_id", job_id, text)

    def account(self, number: int) -> str:
        """An account that runs pay to or from counts in another unit: whatever names it is refused,
        and no bill may be saved without its money."""
        found = self._run(
            "SELECT account_id FROM ledger_accounts WHERE account_id NOT LIKE 'book:%' "
            "ORDER BY account_id",
            (),
        ).fetchall()
        if self.of_money or not found:
            return ""
        self.of_money = True
        chosen = found[number % len(found)][0]
        return self._put("ledger_accounts", "unit", "account_id", chosen, NO_UNIT)

    def spoil(self, job_id: str, number: int) -> str:
        """What was done; empty: nothing, something of the job runs or it is over."""
        if not self._waits(job_id):
            return ""
        last = self._run(
            "SELECT run_id FROM runs WHERE job_id = ? ORDER BY token DESC LIMIT 1", (job_id,)
        ).fetchone()
        table, where, key, spoils = "jobs", "job_id", job_id, JOB_SPOILS
        if last is not None and number % 3 == 0:
            table, where, key, spoils = "runs", "run_id", last[0], RUN_SPOILS
        column, value = spoils[number // 3 % len(spoils)]
        (was,) = self._run(f"SELECT {column} FROM {table} WHERE {where} = ?", (key,)).fetchone()
        if value == NO_OPTIONS:
            value = json.dumps({**json.loads(was), "options": [], "nodes": None})
        done = self._put(table, column, where, key, value)
        if done:
            self.ever.add(job_id)
        return done

    def _put(self, table: str, column: str, where: str, key: object, value: object) -> str:
        query = f"SELECT {column} FROM {table} WHERE {where} = ?"
        (was,) = self._run(query, (key,)).fetchone()
        if was == value:
            return ""
        self._run(f"UPDATE {table} SET {column} = ? WHERE {where} = ?", (value, key))
        version = None
        if table == "jobs":
            (version,) = self._run("SELECT version FROM jobs WHERE job_id = ?", (key,)).fetchone()
        self._spoiled.append(_Spoiled(table, column, where, key, was, value, version))
        return f"{table}.{column} of {key}"

    def repair(self) -> None:
        """As it was, unless the server has written over it: a job without its place can be held or
        cancelled, and then has no place to get back, and one that went on (without what it was held
        for, say) may have come to the very state that was made up."""
        for one in reversed(self._spoiled):
            still = " AND state = 'bound'" if one.column == "bound" else ""
            values: tuple[object, ...] = (one.was, one.key, one.now)
            if one.column in ("state", "holds"):
                still, values = " AND version = ?", (*values, one.version)
            self._run(
                f"UPDATE {one.table} SET {one.column} = ? WHERE {one.where} = ? "
                f"AND {one.column} IS ?{still}",
                values,
            )
        self._spoiled.clear()

    def _run(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        """Below the failing disk."""
        return sqlite3.Connection.execute(self.raw, sql, values)

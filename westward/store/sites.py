"""Sites and their agents: who speaks for a site, and what is said at each poll."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from westward.control.events import RunOffered
from westward.control.machine import InvalidTransition
from westward.control.records import JobState, RunState
from westward.control.validate import BrokenInvariant
from westward.model.wire import HeldRun, Hello
from westward.store.checkpoints import kept_at_server
from westward.store.database import Store
from westward.store.lifecycle import extend_leases, step_record
from westward.store.results import (
    Applied,
    Offer,
    Session,
    SessionOver,
    SitePoll,
    SiteRecord,
    Unreadable,
)
from westward.store.rows import load_records
from westward.store.schema import JOBS, LIVE, RUNS, SITES

OFFERS_PER_POLL = 64
"""Runs offered in one answer; the rest follow with the next poll."""
OFFER_LEASES_MOST = 3
"""A run that its agent was offered and has not taken up within this many leases is offered, and
its lease extended, no more: the agent cannot or will not start it. The lease then ends."""


def hello(store: Store, message: Hello, now_ms: int) -> Session:
    """Opens a session for a new agent process; any older session of the site is over with it.

    The same agent saying hello again keeps its session.
    """
    with store.write() as connection:
        query = select(SITES).where(SITES.c.site == message.site).with_for_update()
        row = connection.execute(query).mappings().one_or_none()
        values: dict[str, object] = {
            "agent_id": message.agent_id,
            "pools": json.dumps(message.pools),
            "last_seen_ms": now_ms,
        }
        if row is None:
            session = 1
            opened = {"site": message.site, "session": session, "hello_ms": now_ms}
            connection.execute(insert(SITES), {**values, **opened})
        else:
            session = int(row["session"])
            if row["agent_id"] != message.agent_id:
                session += 1
                values.update(session=session, hello_ms=now_ms)
            connection.execute(update(SITES).where(SITES.c.site == message.site).values(values))
    return Session(site=message.site, session=session, agent_id=message.agent_id)


def check_session(store: Store, site: str, session: int) -> SessionOver | None:
    """None while ``session`` is the site's newest."""
    with store.read() as connection:
        return _session_over(connection, site, session)


def run_site(store: Store, run_id: str) -> str | None:
    """The site of a run; None: there is no such run."""
    with store.read() as connection:
        query = select(RUNS.c.site).where(RUNS.c.run_id == run_id)
        found = connection.execute(query).scalar_one_or_none()
        return None if found is None else str(found)


def list_sites(store: Store) -> tuple[SiteRecord, ...]:
    """Every site that ever said hello, by name."""
    with store.read() as connection:
        return tuple(
            SiteRecord(
                site=row["site"],
                session=row["session"],
                agent_id=row["agent_id"],
                pools=tuple(json.loads(row["pools"])),
                hello_ms=row["hello_ms"],
                last_seen_ms=row["last_seen_ms"],
            )
            for row in connection.execute(_ALL).mappings()
        )


def poll_site(
    store: Store,
    site: str,
    session: int,
    held: Sequence[HeldRun],
    ttl_ms: int,
    now_ms: int,
) -> SitePoll | SessionOver:
    """Renews the leases of the runs the agent holds and says what it should start, stop, forget.

    A run is offered to one session only: again, if that agent does not list it (the answer may
    have been lost), but never to another, which could not know whether the first one started it.
    Its lease then simply ends.
    """
    with store.write() as connection:
        over = _session_over(connection, site, session)
        if over is not None:
            return over
        _seen(connection, site, session, now_ms)
        live = _live_runs(connection, site)
        mine: list[HeldRun] = []
        unknown: list[str] = []
        for run in held:
            row = live.get(run.run_id)
            if row is None or row["token"] != run.token:
                unknown.append(run.run_id)
            else:
                mine.append(run)
        listed = {run.run_id for run in mine}
        stops = sorted(
            run_id for run_id in listed if live[run_id]["job_state"] == JobState.CANCELLING.value
        )
        pauses = sorted(
            run_id for run_id in listed if live[run_id]["job_state"] == JobState.SUSPENDING.value
        )
        broken: list[tuple[str, Exception]] = []
        tired_ms = now_ms - OFFER_LEASES_MOST * ttl_ms
        wanted = [
            row
            for row in live.values()
            if row["run_id"] not in listed
            and row["state"] == RunState.LEASED.value
            and row["job_state"] == JobState.LEASED.value
            and (
                row["offered_session"] is None
                or (row["offered_session"] == session and row["granted_ms"] > tired_ms)
            )
        ][:OFFERS_PER_POLL]
        offers = _offers(store, connection, session, wanted, now_ms, broken)
        expires_ms = now_ms + ttl_ms
        offered = [HeldRun(run_id=o.run.run_id, token=o.run.token) for o in offers]
        renewed = extend_leases(connection, (*mine, *offered), expires_ms)
    return SitePoll(
        renewed=renewed,
        offers=tuple(offers),
        stops=tuple(stops),
        unknown=tuple(sorted(unknown)),
        pauses=tuple(pauses),
        broken=tuple(broken),
    )


def _offers(
    store: Store,
    connection: Connection,
    session: int,
    wanted: Sequence[RowMapping],
    now_ms: int,
    broken: list[tuple[str, Exception]],
) -> list[Offer]:
    """A job that breaks an invariant goes to ``broken``: it must not cost the site its poll, and
    with it the leases of everything that runs there. (Both errors are raised before any write.)"""
    if not wanted:
        return []
    unreadable: list[Unreadable] = []
    ids = [row["job_id"] for row in wanted]
    records = load_records(store, connection, ids, lock=True, unreadable=unreadable)
    broken.extend((one.job_id, ValueError(one.problem)) for one in unreadable)
    kept = kept_at_server(
        connection, [one.job_id for one in records.values() if one.job.checkpoint is not None]
    )
    offers: list[Offer] = []
    for row in wanted:
        record = records.get(row["job_id"])
        if record is None:
            continue
        event = RunOffered(run_id=row["run_id"], token=row["token"], session=session)
        try:
            answer = step_record(connection, record, event, now_ms)
        except (InvalidTransition, BrokenInvariant) as error:
            broken.append((record.job_id, error))
            continue
        if isinstance(answer, Applied):
            record = answer.record
        elif answer.code != "repeat":
            continue
        run = record.run(row["run_id"])
        assert run is not None
        offers.append(Offer(record=record, run=run, checkpoint_kept=record.job_id in kept))
    return offers


def _live_runs(connection: Connection, site: str) -> dict[str, RowMapping]:
    """The site's live runs by id, in the order they were granted, with the state of their job."""
    rows = connection.execute(_LIVE_RUNS, {"of_site": site}).mappings()
    return {row["run_id"]: row for row in rows}


def _session_over(connection: Connection, site: str, session: int) -> SessionOver | None:
    newest = connection.execute(_SESSION, {"of_site": site}).scalar_one_or_none()
    if newest == session:
        return None
    return SessionOver(site=site, session=session, newest=newest)


def _seen(connection: Connection, site: str, session: int, now_ms: int) -> None:
    values = {"of_site": site, "of_session": session, "now_ms": now_ms}
    connection.execute(_SEEN, values)


# Built once: every poll of every site needs them.
_ALL = select(SITES).order_by(SITES.c.site)
_LIVE_RUNS = (
    select(
        RUNS.c.run_id,
        RUNS.c.job_id,
        RUNS.c.token,
        RUNS.c.state,
        RUNS.c.offered_session,
        RUNS.c.granted_ms,
        JOBS.c.state.label("job_state"),
    )
    .join(JOBS, JOBS.c.job_id == RUNS.c.job_id)
    .where(RUNS.c.site == bindparam("of_site"), LIVE)
    .order_by(RUNS.c.token)
    .with_for_update()
)
_SESSION = select(SITES.c.session).where(SITES.c.site == bindparam("of_site"))
_SEEN = (
    update(SITES)
    .where(SITES.c.site == bindparam("of_site"), SITES.c.session == bindparam("of_session"))
    .values(last_seen_ms=bindparam("now_ms"))
)

"""Organisations, projects, who holds which role where, and tokens. Every change may be repeated.

Secrets never come here, only their SHA-256. Grants and tokens that ended are kept, with when.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import Connection, RowMapping, and_, delete, insert, or_, select, update

from westward.model.people import (
    Grant,
    Member,
    Organisation,
    Place,
    Project,
    Role,
    Scope,
    Token,
    conflict,
)
from westward.store.database import Store
from westward.store.schema import (
    DATASETS,
    IDENTITIES,
    JOBS,
    MEMBERS,
    ORGANISATIONS,
    PROJECTS,
    RUNS,
    TOKENS,
)

Made = Literal["made", "there-already", "taken"]
"""``there-already``: just so, by an earlier request. ``taken``: the name stands for another."""


def create_organisation(store: Store, made: Organisation) -> Made:
    with store.write() as connection:
        query = select(ORGANISATIONS).where(ORGANISATIONS.c.organisation == made.organisation)
        found = connection.execute(query).mappings().one_or_none()
        if found is not None:
            return "there-already" if found["label"] == made.label else "taken"
        row = {name: getattr(made, name) for name in ORGANISATIONS.c.keys()}  # noqa: SIM118
        connection.execute(insert(ORGANISATIONS), row)
    return "made"


def create_project(store: Store, made: Project) -> Made | Literal["no-organisation"]:
    with store.write() as connection:
        query = select(PROJECTS).where(PROJECTS.c.project == made.project)
        found = connection.execute(query).mappings().one_or_none()
        if found is not None:
            same = (found["organisation"], found["label"]) == (made.organisation, made.label)
            return "there-already" if same else "taken"
        home = select(ORGANISATIONS.c.organisation).where(
            ORGANISATIONS.c.organisation == made.organisation
        )
        if connection.execute(home).one_or_none() is None:
            return "no-organisation"
        row = {name: getattr(made, name) for name in PROJECTS.c.keys()}  # noqa: SIM118
        connection.execute(insert(PROJECTS), row)
    return "made"


def add_member(store: Store, made: Member) -> Literal["made", "there-already", "conflict"]:
    """``conflict``: an auditor holds nothing else."""
    with store.write() as connection:
        held = frozenset(one.grant for one in _members(connection, made.user))
        if made.grant in held:
            return "there-already"
        if conflict(held, made.grant):
            return "conflict"
        row = {**_key(made.user, made.grant), "added_ms": made.added_ms, "added_by": made.added_by}
        connection.execute(insert(MEMBERS), row)
    return "made"


def remove_member(store: Store, user: str, grant: Grant, by: str, now_ms: int) -> bool:
    """False: it was not held."""
    key = _key(user, grant)
    with store.write() as connection:
        done = connection.execute(
            update(MEMBERS)
            .where(
                *(MEMBERS.c[name] == value for name, value in key.items()),
                MEMBERS.c.removed_ms.is_(None),
            )
            .values(removed_ms=now_ms, removed_by=by)
        )
        return done.rowcount == 1


def mint(store: Store, token: Token) -> None:
    with store.write() as connection:
        connection.execute(
            insert(TOKENS),
            {
                "token_id": token.token_id,
                "digest": token.digest,
                "user": token.user,
                "scopes": " ".join(sorted(token.scopes)),
                "label": token.label,
                "created_ms": token.created_ms,
                "expires_ms": token.expires_ms,
                "made_by": token.made_by,
            },
        )


def revoke_token(store: Store, token_id: str, by: str, now_ms: int) -> bool:
    """False: there is none of that id, or it was revoked before."""
    with store.write() as connection:
        done = connection.execute(
            update(TOKENS)
            .where(TOKENS.c.token_id == token_id, TOKENS.c.revoked_ms.is_(None))
            .values(revoked_ms=now_ms, revoked_by=by)
        )
        return done.rowcount == 1


def note_used(store: Store, digest: str, used_ms: int) -> None:
    with store.write() as connection:
        connection.execute(update(TOKENS).where(TOKENS.c.digest == digest).values(used_ms=used_ms))


def know_identity(store: Store, issuer: str, subject: str, user: str, now_ms: int) -> bool:
    """Whether ``user`` is the provider's account ``subject``: from the first log-in on for good,
    until ``forget_identity``. False: another account is, or this account is somebody else."""
    table = IDENTITIES
    key = and_(table.c.issuer == issuer, table.c.subject == subject)
    with store.write() as connection:
        rows = connection.execute(select(table).where(or_(key, table.c.user == user))).all()
        if not rows:
            row = {"issuer": issuer, "subject": subject, "user": user}
            connection.execute(insert(table), {**row, "first_ms": now_ms, "last_ms": now_ms})
            return True
        same = all((one.issuer, one.subject, one.user) == (issuer, subject, user) for one in rows)
        if same:
            connection.execute(update(table).where(key).values(last_ms=now_ms))
        return same


def forget_identity(store: Store, user: str) -> bool:
    """The next log-in by this name may be by another account. False: none is known."""
    with store.write() as connection:
        return connection.execute(delete(IDENTITIES).where(IDENTITIES.c.user == user)).rowcount == 1


_ORGANISATIONS = select(ORGANISATIONS).order_by(ORGANISATIONS.c.organisation)
_PROJECTS = select(PROJECTS).order_by(PROJECTS.c.project)
_TOKENS = select(TOKENS).order_by(TOKENS.c.created_ms, TOKENS.c.token_id)
_MEMBERS = select(MEMBERS).where(MEMBERS.c.removed_ms.is_(None)).order_by(MEMBERS.c.seq)


def all_organisations(store: Store) -> tuple[Organisation, ...]:
    with store.read() as connection:
        return tuple(Organisation(**row) for row in connection.execute(_ORGANISATIONS).mappings())


def all_projects(store: Store) -> tuple[Project, ...]:
    with store.read() as connection:
        return tuple(Project(**row) for row in connection.execute(_PROJECTS).mappings())


def all_members(store: Store) -> tuple[Member, ...]:
    """Every grant that is held now, in the order in which they were given."""
    with store.read() as connection:
        return tuple(_members(connection))


def all_tokens(store: Store) -> tuple[Token, ...]:
    """Ended ones too, the oldest first."""
    with store.read() as connection:
        return tuple(_token(row) for row in connection.execute(_TOKENS).mappings())


def run_parties(store: Store, run_id: str) -> tuple[str, str] | None:
    """The run's project and site; None: there is no such run."""
    query = (
        select(JOBS.c.account, RUNS.c.site)
        .join(RUNS, RUNS.c.job_id == JOBS.c.job_id)
        .where(RUNS.c.run_id == run_id)
    )
    with store.read() as connection:
        row = connection.execute(query).first()
        return None if row is None else (str(row.account), str(row.site))


def account_of(store: Store, job_id: str) -> str | None:
    """The project of the job (or the array) of that id; None: there is none."""
    with store.read() as connection:
        for column in (JOBS.c.job_id, JOBS.c.array_id):
            query = select(JOBS.c.account).where(column == job_id).limit(1)
            found = connection.execute(query).scalar_one_or_none()
            if found is not None:
                return str(found)
    return None


def owner_of(store: Store, dataset: str) -> str | None:
    """The account that the data set belongs to, "" for nobody's; None: there is no such."""
    with store.read() as connection:
        query = select(DATASETS.c.owner).where(DATASETS.c.name == dataset).limit(1)
        found = connection.execute(query).scalar_one_or_none()
        return None if found is None else str(found)


def _key(user: str, grant: Grant) -> dict[str, str]:
    return {
        "user": user,
        "role": grant.role.value,
        "kind": grant.place.kind,
        "place": grant.place.name,
    }


def _members(connection: Connection, user: str | None = None) -> Iterable[Member]:
    query = _MEMBERS if user is None else _MEMBERS.where(MEMBERS.c.user == user)
    for row in connection.execute(query).mappings():
        yield Member(
            user=row["user"],
            grant=Grant(Role(row["role"]), Place(row["kind"], row["place"])),
            added_ms=row["added_ms"],
            added_by=row["added_by"],
        )


def _token(row: RowMapping) -> Token:
    return Token(
        token_id=row["token_id"],
        digest=row["digest"],
        user=row["user"],
        scopes=frozenset(Scope(one) for one in row["scopes"].split()),
        label=row["label"],
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
        made_by=row["made_by"],
        revoked_ms=row["revoked_ms"],
        used_ms=row["used_ms"],
    )

"""People in the store: grants and tokens that end, and jobs from before they had a project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import IntegrityError

from tests.databases import DATABASES, new_database
from westward.model.job import JobSpec, ResourceOption
from westward.model.people import Grant, Member, Organisation, Place, Project, Role
from westward.server.preempting import put_out_for
from westward.store import codec, jobs, people
from westward.store import database as store_database
from westward.store.database import Store, open_store
from westward.store.results import Submission
from westward.store.schema import JOBS, MEMBERS


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    yield opened
    opened.close()


def grant(role: Role, name: str) -> Grant:
    kind = "network" if role is Role.AUDITOR else "project"
    return Grant(role, Place(kind, name))  # type: ignore[arg-type]


def member(user: str, held: Grant, at_ms: int = 1) -> Member:
    return Member(user=user, grant=held, added_ms=at_ms, added_by="op")


def test_a_grant_can_be_given_taken_and_given_again(store: Store) -> None:
    owner = grant(Role.OWNER, "vision")
    assert people.add_member(store, member("li", owner)) == "made"
    assert people.add_member(store, member("li", owner, 2)) == "there-already"
    assert people.all_members(store) == (member("li", owner),)
    assert people.remove_member(store, "li", owner, "op", 3)
    assert not people.remove_member(store, "li", owner, "op", 4)
    assert people.add_member(store, member("li", owner, 5)) == "made"
    assert people.all_members(store) == (member("li", owner, 5),)
    with store.read() as connection:
        kept = connection.execute(sa.select(MEMBERS.c.added_ms, MEMBERS.c.removed_ms)).all()
    assert sorted(kept) == [(1, 3), (5, None)], "who held what when stays known"


def test_the_database_itself_refuses_a_grant_twice(store: Store) -> None:
    people.add_member(store, member("li", grant(Role.OWNER, "vision")))
    with store.read() as connection:
        row = dict(connection.execute(sa.select(MEMBERS)).mappings().one())
    del row["seq"]
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(sa.insert(MEMBERS), row)


def test_an_auditor_holds_nothing_else(store: Store) -> None:
    audits = grant(Role.AUDITOR, "network")
    assert people.add_member(store, member("li", grant(Role.OWNER, "vision"))) == "made"
    assert people.add_member(store, member("li", audits)) == "conflict"
    assert people.add_member(store, member("wu", audits)) == "made"
    assert people.add_member(store, member("wu", grant(Role.OWNER, "vision"))) == "conflict"
    people.remove_member(store, "li", grant(Role.OWNER, "vision"), "op", 2)
    assert people.add_member(store, member("li", audits)) == "made"


@pytest.mark.parametrize(
    ("role", "place"),
    [
        (Role.OWNER, Place("site", "a")),
        (Role.AUDITOR, Place("project", "a")),
        (Role.AUDITOR, Place("network", "another")),
    ],
)
def test_a_role_is_held_at_its_kind_of_place(role: Role, place: Place) -> None:
    with pytest.raises(ValueError, match=r"role in a|one network"):
        Grant(role, place)


def test_projects_belong_to_organisations(store: Store) -> None:
    made = Project(project="p", organisation="acme", label="", created_ms=1, created_by="op")
    assert people.create_project(store, made) == "no-organisation"
    home = Organisation(organisation="acme", label="A", created_ms=1, created_by="op")
    assert people.create_organisation(store, home) == "made"
    assert people.create_project(store, made) == "made"
    assert people.create_project(store, made) == "there-already"
    assert [one.project for one in people.all_projects(store)] == ["local", "p"]


def spec(job_id: str, account: str | None) -> JobSpec:
    return JobSpec(
        job_id=job_id,
        name=job_id,
        submit_ms=1,
        options=(ResourceOption(cpus_milli=1),),
        account=account,
    )


def test_jobs_from_before_get_their_projects(tmp_path: Path) -> None:
    """A database of the tables before; more rows than one part of the migration."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(store_database._MIGRATIONS))
    columns = [one for one in JOBS.c if one.name not in ("account", "seq")]
    old = sa.Table("jobs", sa.MetaData(), *(sa.Column(one.name, one.type) for one in columns))
    accounts = ["vision", None, "声学", ""] * 300
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        rows = [
            {
                "job_id": f"job_{at}", "body_digest": "d", "state": "pending", "version": 1,
                "spec": codec.to_json(spec(f"job_{at}", account)), "attempts_max": 3,
                "changed_ms": 1, "ending": "", "name": "n",
            }
            for at, account in enumerate(accounts)
        ]  # fmt: skip
        connection.execute(sa.insert(old), rows)
        broken = {**rows[0], "job_id": "job_broken", "spec": "{"}
        connection.execute(sa.insert(old), broken)
    engine.dispose()
    store = open_store(url)
    for at, account in enumerate(accounts[:8]):
        assert people.account_of(store, f"job_{at}") == (account or "local")
    assert people.account_of(store, "job_broken") == "local"
    assert people.account_of(store, "job_nowhere") is None
    for account, most in (("vision", 300), ("声学", 300), ("local", 600)):
        assert len(jobs.list_jobs(store, limit=1000, accounts=[account])) == most
    assert jobs.list_jobs(store, accounts=[]) == ()
    store.close()


def test_new_jobs_have_theirs(store: Store) -> None:
    submitted = [Submission(job=spec(f"job_{one}", one), body_digest="d") for one in ("a", None)]
    jobs.submit_jobs(store, submitted, 1)
    assert people.account_of(store, "job_a") == "a"
    assert people.account_of(store, "job_None") == "local"


def test_whose_job_puts_one_out_is_told_within_a_project_only() -> None:
    told = put_out_for(spec("job_rush", "vision"), spec("job_slow", "vision"))
    assert "job_rush" in told
    told = put_out_for(spec("job_rush", "vision"), spec("job_slow", "speech"))
    assert "rush" not in told
    assert "vision" not in told

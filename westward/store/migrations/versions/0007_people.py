"""People: organisations, projects, grants, tokens; the project of every job as a column."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ROWS = 500


def _name(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.String(200), nullable=False)


def _ms(column: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    organisations = op.create_table(
        "organisations",
        sa.Column("organisation", sa.String(200), primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
        _ms("created_ms"),
        _name("created_by"),
    )
    projects = op.create_table(
        "projects",
        sa.Column("project", sa.String(200), primary_key=True),
        sa.Column(
            "organisation",
            sa.String(200),
            sa.ForeignKey("organisations.organisation"),
            nullable=False,
        ),
        sa.Column("label", sa.Text, nullable=False),
        _ms("created_ms"),
        _name("created_by"),
    )
    op.create_table(
        "members",
        sa.Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
        _name("user"),
        sa.Column("role", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        _name("place"),
        _ms("added_ms"),
        _name("added_by"),
        _ms("removed_ms", nullable=True),
        sa.Column("removed_by", sa.String(200)),
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(40), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        _name("user"),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        _ms("created_ms"),
        _ms("expires_ms"),
        _name("made_by"),
        _ms("revoked_ms", nullable=True),
        sa.Column("revoked_by", sa.String(200)),
        _ms("used_ms", nullable=True),
    )
    op.create_index(
        "one_live_grant",
        "members",
        ["user", "role", "kind", "place"],
        unique=True,
        sqlite_where=sa.text("removed_ms IS NULL"),
        postgresql_where=sa.text("removed_ms IS NULL"),
    )
    op.create_index("tokens_by_user", "tokens", ["user"])
    built_in = {"label": "jobs that name no project", "created_ms": 0, "created_by": "westward"}
    op.bulk_insert(organisations, [{"organisation": "local", **built_in}])
    op.bulk_insert(projects, [{"project": "local", "organisation": "local", **built_in}])
    op.add_column(
        "jobs", sa.Column("account", sa.String(200), nullable=False, server_default="local")
    )
    _fill_accounts()
    op.create_index("jobs_by_account", "jobs", ["account", "seq"])


def _fill_accounts() -> None:
    """From the requests, in parts; those that name no project have the column's default."""
    connection = op.get_bind()
    jobs = sa.table(
        "jobs", sa.column("seq", sa.BigInteger), sa.column("spec"), sa.column("account")
    )
    part = sa.select(jobs.c.seq, jobs.c.spec).order_by(jobs.c.seq).limit(ROWS)
    last = -1
    while rows := connection.execute(part.where(jobs.c.seq > last)).all():
        last = rows[-1][0]
        for seq, spec in rows:
            try:
                account = json.loads(spec).get("account")
            except (ValueError, AttributeError):  # no record either: left as it is
                continue
            if account:
                change = sa.update(jobs).where(jobs.c.seq == seq).values(account=account)
                connection.execute(change)

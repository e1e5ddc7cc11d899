"""Data sets: the catalogue, copies, what runs read and where from, bytes moved."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _name(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.String(200), nullable=False)


def _run() -> sa.Column[str]:
    return sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), primary_key=True)


def _job() -> sa.Column[str]:
    return sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False)


def _count(column: str) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=False)


def upgrade() -> None:
    op.add_column(
        "bills", sa.Column("data_micros", sa.BigInteger, nullable=False, server_default="0")
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        _name("owner"),
        sa.Column("digest", sa.String(64), nullable=False),
        _count("size_bytes"),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("licence", sa.Text, nullable=False),
        sa.Column("residency", sa.Text, nullable=False),
        sa.Column("price_micros_per_gb", sa.BigInteger),
        _count("created_ms"),
        sa.Column("made_by_run", sa.String(200)),
        sa.Column("provenance", sa.Text),
        sa.UniqueConstraint("made_by_run", "name", name="one_version_per_run"),
    )
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(200), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        _count("added_ms"),
        sa.Column("suspect", sa.Text),
        sa.ForeignKeyConstraint(["name", "version"], ["datasets.name", "datasets.version"]),
    )
    op.create_table(
        "data_uses",
        _run(),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        _job(),
        sa.Column("digest", sa.String(64), nullable=False),
        _name("from_site"),
        sa.Column("url", sa.Text, nullable=False),
        _name("to_site"),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        _count("checked_ms"),
        sa.Column("staged_ms", sa.BigInteger),
        sa.Column("cached", sa.Integer, nullable=False),
    )
    op.create_table(
        "data_moves",
        _run(),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        _job(),
        _name("name"),
        sa.Column("version", sa.Integer, nullable=False),
        _name("from_site"),
        _name("to_site"),
        _count("size_bytes"),
        _count("wall_ms"),
        _count("received_ms"),
    )
    op.create_index("data_uses_by_job", "data_uses", ["job_id"])
    op.create_index("data_moves_by_job", "data_moves", ["job_id"])

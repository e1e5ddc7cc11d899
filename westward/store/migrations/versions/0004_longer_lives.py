"""Longer lives: holds, pauses and aims of jobs, names, arrays, checkpoints and their moves."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind in (
        ("name", sa.String(200)),
        ("array_id", sa.String(200)),
        ("array_index", sa.Integer()),
        ("holds", sa.Text()),
        ("pause", sa.Text()),
        ("aim", sa.Text()),
    ):
        op.add_column("jobs", sa.Column(name, kind))
    op.create_table(
        "checkpoints",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("saved_ms", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sent_bytes", sa.BigInteger, nullable=False),
        sa.Column("at_server", sa.Integer, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
    )
    op.create_table(
        "checkpoint_moves",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("from_site", sa.String(200), nullable=False),
        sa.Column("to_site", sa.String(200), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("moved_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("jobs_by_name", "jobs", ["name", "seq"])
    op.create_index("jobs_by_array", "jobs", ["array_id", "array_index"])
    op.create_index("checkpoints_by_job", "checkpoints", ["job_id", "token"])
    op.create_index("checkpoint_moves_by_job", "checkpoint_moves", ["job_id"])
    _name_known_jobs()


def _name_known_jobs() -> None:
    """Jobs of before have their name in their request only. A request that cannot be read stays
    without: it must not keep the others from being served."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT seq, spec FROM jobs")).all()
    for seq, spec in rows:
        try:
            name = json.loads(spec)["name"]
        except (ValueError, KeyError, TypeError):
            continue
        connection.execute(
            sa.text("UPDATE jobs SET name = :name WHERE seq = :seq"), {"name": name, "seq": seq}
        )

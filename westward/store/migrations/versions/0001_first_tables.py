"""The first tables: jobs, runs, sites, metering, logs, story, decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sites",
        sa.Column("site", sa.String(200), primary_key=True),
        sa.Column("session", sa.BigInteger, nullable=False),
        sa.Column("agent_id", sa.String(200), nullable=False),
        sa.Column("pools", sa.Text, nullable=False),
        sa.Column("hello_ms", sa.BigInteger, nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(200), nullable=False, unique=True),
        sa.Column("body_digest", sa.String(128), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("bound", sa.Text),
        sa.Column("attempts_max", sa.Integer, nullable=False),
        sa.Column("cancel_requested_ms", sa.BigInteger),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger),
        sa.Column("ending", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(200), primary_key=True),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("pool", sa.String(200), nullable=False),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False, unique=True),
        sa.Column("need_milli", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("lease_expires_ms", sa.BigInteger, nullable=False),
        sa.Column("granted_ms", sa.BigInteger, nullable=False),
        sa.Column("offered_session", sa.BigInteger),
        sa.Column("started_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("outcome", sa.String(40)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("settled_ms", sa.BigInteger),
        sa.UniqueConstraint("job_id", "attempt", name="one_run_per_attempt"),
    )
    op.create_table(
        "readings",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("wall_ms", sa.BigInteger, nullable=False),
        sa.Column("device_milli_ms", sa.BigInteger, nullable=False),
        sa.Column("cpu_ms", sa.BigInteger, nullable=False),
        sa.Column("max_rss_kib", sa.BigInteger, nullable=False),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "bills",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("billed_ms", sa.BigInteger, nullable=False),
        sa.Column("device_milli_ms", sa.BigInteger, nullable=False),
        sa.Column("energy_j", sa.BigInteger, nullable=False),
        sa.Column("carbon_location_ug", sa.BigInteger),
        sa.Column("carbon_contract_ug", sa.BigInteger),
        sa.Column("device_micros", sa.BigInteger, nullable=False),
        sa.Column("power_micros", sa.BigInteger, nullable=False),
        sa.Column("transfer_micros", sa.BigInteger, nullable=False),
        sa.Column("rounding_micros", sa.BigInteger, nullable=False),
        sa.Column("total_micros", sa.BigInteger, nullable=False),
        sa.Column("carbon_shown_micros", sa.BigInteger),
    )
    op.create_table(
        "log_chunks",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), primary_key=True),
        sa.Column("rank", sa.Integer, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "story",
        sa.Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("snapshot_version", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "seq"])
    op.create_index(
        "one_live_run_per_job",
        "runs",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("live = 1"),
        postgresql_where=sa.text("live = 1"),
    )
    op.create_index("runs_by_lease_end", "runs", ["live", "lease_expires_ms"])
    op.create_index("runs_by_site", "runs", ["site", "live"])
    op.create_index("runs_by_pool", "runs", ["pool", "live"])
    op.create_index("runs_to_settle", "runs", ["settled_ms", "live"])
    op.create_index("bills_by_job", "bills", ["job_id"])
    op.create_index("story_by_job", "story", ["job_id", "seq"])
    op.create_index("decisions_by_job", "decisions", ["job_id", "seq"])
    counters = sa.table("counters", sa.column("name", sa.String), sa.column("value", sa.BigInteger))
    op.bulk_insert(
        counters,
        [{"name": "fencing_token", "value": 0}, {"name": "snapshot_version", "value": 0}],
    )

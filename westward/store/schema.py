"""The tables, as the newest migration leaves them (a test holds the two to each other); those of
money are in ``money_schema``.

Times are ms UTC, money millionths, both BIGINT. Frozen values are JSON text; what is queried or
guarded is a column. ``live`` is 1 while a run holds a lease.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

METADATA = MetaData()

ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts rows by itself only for a key that is spelled INTEGER."""

META = Table(
    "meta",
    METADATA,
    Column("key", String(100), primary_key=True),
    Column("value", Text, nullable=False),
)

COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
FENCING_TOKEN = "fencing_token"
SNAPSHOT_VERSION = "snapshot_version"

SITES = Table(
    "sites",
    METADATA,
    Column("site", String(200), primary_key=True),
    Column("session", BigInteger, nullable=False),
    Column("agent_id", String(200), nullable=False),
    Column("pools", Text, nullable=False),
    Column("hello_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("job_id", String(200), nullable=False, unique=True),
    Column("body_digest", String(128), nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("spec", Text, nullable=False),
    Column("bound", Text),
    Column("attempts_max", Integer, nullable=False),
    Column("cancel_requested_ms", BigInteger),
    Column("changed_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("ending", Text, nullable=False),
    Column("name", String(200)),
    Column("array_id", String(200)),
    Column("array_index", Integer),
    Column("holds", Text),
    Column("pause", Text),
    Column("aim", Text),
    Column("account", String(200), nullable=False, server_default="local"),
    Index("jobs_by_state", "state", "seq"),
    Index("jobs_by_name", "name", "seq"),
    Index("jobs_by_array", "array_id", "array_index"),
    Index("jobs_by_account", "account", "seq"),
)
"""``account``: the project; whose jobs somebody may see is asked of the database."""

RUNS = Table(
    "runs",
    METADATA,
    Column("run_id", String(200), primary_key=True),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("pool", String(200), nullable=False),
    Column("site", String(200), nullable=False),
    Column("token", BigInteger, nullable=False, unique=True),
    Column("need_milli", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("live", Integer, nullable=False),
    Column("lease_expires_ms", BigInteger, nullable=False),
    Column("granted_ms", BigInteger, nullable=False),
    Column("offered_session", BigInteger),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("outcome", String(40)),
    Column("exit_code", Integer),
    Column("detail", Text, nullable=False),
    Column("settled_ms", BigInteger),
    UniqueConstraint("job_id", "attempt", name="one_run_per_attempt"),
    # The database itself refuses a second lease on one job, whatever the code above it does.
    Index(
        "one_live_run_per_job",
        "job_id",
        unique=True,
        sqlite_where=text("live = 1"),
        postgresql_where=text("live = 1"),
    ),
    Index("runs_by_lease_end", "live", "lease_expires_ms"),
    Index("runs_by_site", "site", "live"),
    Index("runs_by_pool", "pool", "live"),
    Index("runs_by_start", "pool", "started_ms"),
    Index("runs_to_settle", "settled_ms", "live"),
)
# Not parameters: SQLite plans a statement anew whenever one of its values decides whether a partial
# index serves it (one_live_run_per_job), which took longer than the statement.
LIVE = RUNS.c.live == literal_column("1")
NOT_LIVE = RUNS.c.live == literal_column("0")

READINGS = Table(
    "readings",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("wall_ms", BigInteger, nullable=False),
    Column("device_milli_ms", BigInteger, nullable=False),
    Column("cpu_ms", BigInteger, nullable=False),
    Column("max_rss_kib", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

BILLS = Table(
    "bills",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("site", String(200), nullable=False),
    Column("billed_ms", BigInteger, nullable=False),
    Column("device_milli_ms", BigInteger, nullable=False),
    Column("energy_j", BigInteger, nullable=False),
    Column("carbon_location_ug", BigInteger),
    Column("carbon_contract_ug", BigInteger),
    Column("device_micros", BigInteger, nullable=False),
    Column("power_micros", BigInteger, nullable=False),
    Column("transfer_micros", BigInteger, nullable=False),
    Column("rounding_micros", BigInteger, nullable=False),
    Column("total_micros", BigInteger, nullable=False),
    Column("carbon_shown_micros", BigInteger),
    Column("data_micros", BigInteger, nullable=False, server_default="0"),
    Index("bills_by_job", "job_id"),
    Index("bills_by_time", "billed_ms", "run_id"),
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("site", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("saved_ms", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("at_server", Integer, nullable=False),
    Column("files", Text, nullable=False),
    Index("checkpoints_by_job", "job_id", "token"),
)
"""What runs left when they were stopped, one row each. ``at_server`` 0: too large to be sent."""

CHECKPOINT_MOVES = Table(
    "checkpoint_moves",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("from_site", String(200), nullable=False),
    Column("to_site", String(200), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("moved_ms", BigInteger, nullable=False),
    Index("checkpoint_moves_by_job", "job_id"),
)

DATASETS = Table(
    "datasets",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("files", Text, nullable=False),
    Column("licence", Text, nullable=False),
    Column("residency", Text, nullable=False),
    Column("price_micros_per_gb", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("made_by_run", String(200)),
    Column("provenance", Text),
    UniqueConstraint("made_by_run", "name", name="one_version_per_run"),
)
"""The catalogue: one row a version, never changed. ``made_by_run`` set: a job's output."""

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("site", String(200), primary_key=True),
    Column("url", Text, nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("suspect", Text),
    ForeignKeyConstraint(["name", "version"], ["datasets.name", "datasets.version"]),
)

DATA_USES = Table(
    "data_uses",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("from_site", String(200), nullable=False),
    Column("url", Text, nullable=False),
    Column("to_site", String(200), nullable=False),
    Column("terms", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("checked_ms", BigInteger, nullable=False),
    Column("staged_ms", BigInteger),
    Column("cached", Integer, nullable=False),
    Index("data_uses_by_job", "job_id"),
)
"""The proof of residency: which terms were checked against which tags of ``to_site``, and when,
before a byte was given. ``staged_ms`` set: the data set was whole there, its digest checked."""

DATA_MOVES = Table(
    "data_moves",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_site", String(200), nullable=False),
    Column("to_site", String(200), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Index("data_moves_by_job", "job_id"),
)
"""Bytes fetched for runs, as metered by the site that fetched them."""

LOG_CHUNKS = Table(
    "log_chunks",
    METADATA,
    Column("run_id", String(200), ForeignKey("runs.run_id"), primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

STORY = Table(
    "story",
    METADATA,
    Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    Index("story_by_job", "job_id", "seq"),
)

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("snapshot_version", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("answer", Text, nullable=False),
    Index("decisions_by_job", "job_id", "seq"),
)

INVITATIONS = Table(
    "invitations",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("site", String(200), nullable=False),
    Column("invitation", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("used_by", String(64)),
    Column("void_ms", BigInteger),
    Index("invitations_by_site", "site"),
)

CREDENTIALS = Table(
    "credentials",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("site", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("first_used_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("ended_why", String(40)),
    Index("credentials_by_site", "site"),
)

OFFERS = Table(
    "offers",
    METADATA,
    Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("site", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("invitation", Text),
    Column("offer", Text),
    Index("offers_by_site", "site", "seq"),
)
"""Every state a joined site was ever in, rows never edited. Both texts null: it was revoked."""

SITE_MARKS = Table(
    "site_marks",
    METADATA,
    Column("site", String(200), primary_key=True),
    Column("pool", String(200), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""The network operator's word on a site (pool "") or one of its pools."""

ORGANISATIONS = Table(
    "organisations",
    METADATA,
    Column("organisation", String(200), primary_key=True),
    Column("label", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(200), nullable=False),
)

PROJECTS = Table(
    "projects",
    METADATA,
    Column("project", String(200), primary_key=True),
    Column("organisation", String(200), ForeignKey("organisations.organisation"), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(200), nullable=False),
)

MEMBERS = Table(
    "members",
    METADATA,
    Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("user", String(200), nullable=False),
    Column("role", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("place", String(200), nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("added_by", String(200), nullable=False),
    Column("removed_ms", BigInteger),
    Column("removed_by", String(200)),
    Index(
        "one_live_grant",
        "user",
        "role",
        "kind",
        "place",
        unique=True,
        sqlite_where=text("removed_ms IS NULL"),
        postgresql_where=text("removed_ms IS NULL"),
    ),
)
"""Who held which role where, from when to when."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token_id", String(40), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user", String(200), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("revoked_ms", BigInteger),
    Column("revoked_by", String(200)),
    Column("used_ms", BigInteger),
    Index("tokens_by_user", "user"),
)
"""The secrets are kept nowhere, only their SHA-256. ``used_ms`` is to the hour."""

IDENTITIES = Table(
    "identities",
    METADATA,
    Column("issuer", String(500), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user", String(200), nullable=False, unique=True),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
"""Which account of a log-in provider each person came in with first: a name that the provider gives to
somebody else later does not let that one in."""

SHARES = Table(
    "shares",
    METADATA,
    Column("kind", String(20), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("group", String(200), nullable=False),
    Column("weight_milli", BigInteger, nullable=False),
    Column("set_ms", BigInteger, nullable=False),
    Column("set_by", String(200), nullable=False),
)
"""Whose jobs go first when not all can: see ``model.shares``. None: in order of arrival."""

SHARE_TERMS = Table(
    "share_terms",
    METADATA,
    Column("terms", String(20), primary_key=True),
    Column("half_life_ms", BigInteger, nullable=False),
    Column("window_ms", BigInteger, nullable=False),
    Column("set_ms", BigInteger, nullable=False),
    Column("set_by", String(200), nullable=False),
)
"""One row at most: how fast use is forgotten."""

LEADERSHIP = Table(
    "leadership",
    METADATA,
    Column("office", String(50), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String(200), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)
"""One row. ``epoch`` rises each time another server takes over; what is written for an earlier one
is refused. See docs/decisions/0041."""
PLANNER = "planner"

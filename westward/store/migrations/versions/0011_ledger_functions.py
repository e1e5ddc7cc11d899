"""The ledger on PostgreSQL: looking and keeping in one statement each.

The two functions hold no rule of the ledger: one reads (and locks) what a batch touches, the other
writes what was decided and raises where a row is not as it had been seen. SQLite needs neither.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Plans are made once a connection, and must not depend on how full the tables were at that moment:
# every lookup is by an index.
SETTINGS = """
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off
"""

# Each statement of a VOLATILE function sees what others committed before it began, so everything
# behind the first is read as it stands once the accounts are locked. These are locked in the order
# of their ids, or two batches could lock each other out.
LOOK = f"""
CREATE FUNCTION ledger_look(asked json) RETURNS json LANGUAGE plpgsql VOLATILE {SETTINGS} AS $$
DECLARE accounts json; recorded json; groups json;
BEGIN
  IF asked -> 'pendings' IS NULL THEN
    SELECT json_agg(x) INTO accounts FROM (
      SELECT a.* FROM json_array_elements_text(asked -> 'ids') AS n(id)
      JOIN ledger_accounts a ON a.account_id = n.id
      ORDER BY a.account_id FOR UPDATE OF a
    ) x;
  ELSE
    SELECT json_agg(x) INTO accounts FROM (
      SELECT a.* FROM (
        SELECT json_array_elements_text(asked -> 'ids')
        UNION SELECT t.debit FROM json_array_elements_text(asked -> 'pendings') AS p(id)
          JOIN ledger_transfers t ON t.transfer_id = p.id
        UNION SELECT t.credit FROM json_array_elements_text(asked -> 'pendings') AS p(id)
          JOIN ledger_transfers t ON t.transfer_id = p.id
      ) AS n(id)
      JOIN ledger_accounts a ON a.account_id = n.id
      ORDER BY a.account_id FOR UPDATE OF a
    ) x;
  END IF;
  SELECT json_agg(x) INTO recorded FROM (
    SELECT t.*, h.remaining, h.state FROM json_array_elements_text(asked -> 'wanted') AS n(id)
    JOIN ledger_transfers t ON t.transfer_id = n.id
    LEFT JOIN ledger_holds h ON h.transfer_id = t.transfer_id
  ) x;
  IF asked -> 'groups' IS NOT NULL THEN
    SELECT json_agg(t.group_id) INTO groups
    FROM json_array_elements_text(asked -> 'groups') AS n(id)
    JOIN ledger_transfers t ON t.group_id = n.id AND t.group_position = 0;
  END IF;
  RETURN json_build_array(accounts, recorded, groups);
END $$
"""

TRANSFER = (
    "transfer_id text, kind text, debit text, credit text, amount bigint, pending_id text, "
    "expires_ms bigint, group_id text, group_position integer, group_size integer, "
    "category text, job_id text, run_id text, corrects text, reason text, at_ms bigint"
)
TRANSFER_NAMES = ", ".join(one.split()[0] for one in TRANSFER.split(", "))
BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")

KEEP = f"""
CREATE FUNCTION ledger_keep(made json) RETURNS void LANGUAGE plpgsql VOLATILE {SETTINGS} AS $$
DECLARE kept integer;
BEGIN
  INSERT INTO ledger_transfers ({TRANSFER_NAMES})
  SELECT {TRANSFER_NAMES}
  FROM ROWS FROM (json_to_recordset(made -> 'transfers') AS ({TRANSFER}))
    WITH ORDINALITY AS n({TRANSFER_NAMES}, place)
  ORDER BY n.place;
  IF made -> 'holds' IS NOT NULL THEN
    INSERT INTO ledger_holds (transfer_id, remaining, expires_ms, state)
    SELECT n.transfer_id, n.remaining, n.expires_ms, n.state
    FROM json_to_recordset(made -> 'holds')
      AS n(transfer_id text, remaining bigint, expires_ms bigint, state text);
  END IF;
  IF made -> 'change-holds' IS NOT NULL THEN
    UPDATE ledger_holds h SET remaining = n.remaining, state = n.state
    FROM json_to_recordset(made -> 'change-holds')
      AS n("of" text, seen bigint, remaining bigint, state text)
    WHERE h.transfer_id = n."of" AND h.remaining = n.seen AND h.state = 'open';
    GET DIAGNOSTICS kept = ROW_COUNT;
    IF kept <> json_array_length(made -> 'change-holds') THEN
      RAISE EXCEPTION 'a hold is not as it had been seen' USING ERRCODE = 'WW001';
    END IF;
  END IF;
  UPDATE ledger_accounts a SET version = n.next, {", ".join(f"{b} = n.{b}" for b in BALANCES)}
  FROM json_to_recordset(made -> 'change-balances')
    AS n("of" text, seen bigint, next bigint, {", ".join(f"{b} bigint" for b in BALANCES)})
  WHERE a.account_id = n."of" AND a.version = n.seen;
  GET DIAGNOSTICS kept = ROW_COUNT;
  IF kept <> json_array_length(made -> 'change-balances') THEN
    RAISE EXCEPTION 'an account is not as it had been seen' USING ERRCODE = 'WW001';
  END IF;
END $$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(LOOK)
        op.execute(KEEP)

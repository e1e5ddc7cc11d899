"""What must outlive the server: SQL, and nothing but SQL.

SQLAlchemy Core 2 over SQLite (WAL, every commit on disk before it is reported); written so that
PostgreSQL needs no other statements. Every function is synchronous, takes the store first and
``now_ms`` as an argument, and holds a transaction only while it talks to the database. Each write
is guarded by id and version or token; a stale writer gets a value that says so.
"""

from westward.store.database import Store, open_store

__all__ = ["Store", "open_store"]

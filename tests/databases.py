"""The databases that the store's tests run over: SQLite always; PostgreSQL where it is asked for.

``WESTWARD_TEST_POSTGRES=1`` (``make test-ledger``) adds a real server of our own, one for all tests
of a process, a new database for each.
"""

from __future__ import annotations

import atexit
import itertools
import os
from functools import lru_cache
from pathlib import Path

from tests.engines_up.postgres import Postgres

DATABASES = ["sqlite", *(["postgres"] if os.environ.get("WESTWARD_TEST_POSTGRES") else [])]
_NUMBERS = itertools.count(1)


@lru_cache(maxsize=1)
def server() -> Postgres:
    made = Postgres.start()
    atexit.register(made.stop)
    return made


def new_database(kind: str, folder: Path) -> str:
    """The URL of a database that has no tables yet."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/store-{next(_NUMBERS)}.db"
    return server().create(f"store_{next(_NUMBERS)}")

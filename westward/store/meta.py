"""Facts about the store as a whole: the network it serves, its series origin, its version."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from westward.store.database import Store
from westward.store.rows import raise_snapshot_version, read_counter
from westward.store.schema import META, SNAPSHOT_VERSION


def get_meta(store: Store, key: str) -> str | None:
    with store.read() as connection:
        return _get(connection, key)


def set_meta(store: Store, key: str, value: str) -> None:
    """Sets or replaces. What the network is may change a plan, so the snapshot version rises."""
    with store.write() as connection:
        changed = connection.execute(
            update(META).where(META.c.key == key).values(value=value)
        ).rowcount
        if changed == 0:
            connection.execute(insert(META), {"key": key, "value": value})
        raise_snapshot_version(connection)


def set_meta_once(store: Store, key: str, value: str) -> str:
    """Sets unless it is set; answers the value that stands. For what must survive a restart as it
    was first chosen, such as the origin of all series."""
    with store.write() as connection:
        standing = _get(connection, key)
        if standing is not None:
            return standing
        connection.execute(insert(META), {"key": key, "value": value})
        raise_snapshot_version(connection)
    return value


def snapshot_version(store: Store) -> int:
    """Rises with every transaction that changes what a planner would see."""
    with store.read() as connection:
        return read_counter(connection, SNAPSHOT_VERSION)


def _get(connection: Connection, key: str) -> str | None:
    return connection.execute(_VALUE, {"of_key": key}).scalar_one_or_none()


_VALUE = select(META.c.value).where(META.c.key == bindparam("of_key"))

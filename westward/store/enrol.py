"""How sites join: invitations, credentials, what was offered when, the network operator's marks.

Secrets never come here, only their SHA-256. Every change is one transaction; all may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from westward.model.offer import Invitation, OfferStatus, SiteOffer
from westward.store import codec
from westward.store.database import Store
from westward.store.rows import raise_snapshot_version
from westward.store.schema import CREDENTIALS, INVITATIONS, OFFERS, SITE_MARKS

Refusal = Literal["token-unknown", "token-used", "token-expired", "token-void", "digest-taken"]
EndedWhy = Literal["rotated", "replaced", "revoked"]


KEEP_ENDED_MS = 30 * 86_400_000
"""Credentials that ended longer ago are refused as unknown, not by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """``ended_why`` None: good. ``first_used_ms`` None: a successor nobody has used yet."""

    digest: str
    site: str
    created_ms: int
    first_used_ms: int | None
    ended_ms: int | None
    ended_why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """What a site was from ``at_ms`` on. ``invitation`` None: revoked."""

    site: str
    at_ms: int
    invitation: Invitation | None
    offer: SiteOffer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    invitation: Invitation
    repeated: bool
    """The same agent asked before and did not hear the answer."""


def invite(
    store: Store, invitation: Invitation, token_digest: str, ttl_ms: int, now_ms: int
) -> None:
    """A new invitation; earlier unused ones of the site are void with it."""
    with store.write() as connection:
        _void_invitations(connection, invitation.site, now_ms)
        connection.execute(
            insert(INVITATIONS),
            {
                "digest": token_digest,
                "site": invitation.site,
                "invitation": codec.to_json(invitation),
                "created_ms": now_ms,
                "expires_ms": now_ms + ttl_ms,
            },
        )


def _void_invitations(connection: Connection, site: str, now_ms: int) -> None:
    connection.execute(
        update(INVITATIONS)
        .where(
            INVITATIONS.c.site == site,
            INVITATIONS.c.used_ms.is_(None),
            INVITATIONS.c.void_ms.is_(None),
        )
        .values(void_ms=now_ms)
    )


def enrol(
    store: Store, token_digest: str, credential_digest: str, now_ms: int
) -> Enrolment | Refusal:
    """Uses the invitation up: its site's earlier credentials end, the new one is good."""
    with store.write() as connection:
        query = select(INVITATIONS).where(INVITATIONS.c.digest == token_digest).with_for_update()
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return "token-unknown"
        invitation = codec.from_json(Invitation, row["invitation"])
        if row["used_ms"] is not None:
            if row["used_by"] == credential_digest and _good(connection, credential_digest):
                return Enrolment(invitation=invitation, repeated=True)
            return "token-used"
        if row["void_ms"] is not None:
            return "token-void"
        if row["expires_ms"] <= now_ms:
            return "token-expired"
        if _known(connection, credential_digest):
            return "digest-taken"
        connection.execute(
            update(INVITATIONS)
            .where(INVITATIONS.c.digest == token_digest)
            .values(used_ms=now_ms, used_by=credential_digest)
        )
        _end_credentials(connection, invitation.site, "replaced", now_ms)
        _add_credential(connection, credential_digest, invitation.site, now_ms, now_ms)
        last = _last_offer(connection, invitation.site)
        _add_offer(connection, invitation.site, invitation, last, now_ms)
    return Enrolment(invitation=invitation, repeated=False)


def rotate(store: Store, site: str, next_digest: str, now_ms: int) -> bool:
    """Notes the successor; it is good at once, and its first use ends the others. False: the
    digest belongs to something else, or the site was revoked meanwhile."""
    with store.write() as connection:
        newest = _newest_row(connection, site)
        if newest is None or newest.invitation is None:
            return False
        query = select(CREDENTIALS).where(CREDENTIALS.c.digest == next_digest)
        row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            return bool(row["site"] == site and row["ended_ms"] is None)
        connection.execute(  # an agent has one successor in hand
            delete(CREDENTIALS).where(
                CREDENTIALS.c.site == site, CREDENTIALS.c.first_used_ms.is_(None)
            )
        )
        _add_credential(connection, next_digest, site, now_ms, None)
    return True


def first_use(store: Store, digest: str, site: str, now_ms: int) -> None:
    """A successor has been used: it is the site's only credential from now on."""
    with store.write() as connection:
        connection.execute(
            update(CREDENTIALS).where(CREDENTIALS.c.digest == digest).values(first_used_ms=now_ms)
        )
        _end_credentials(connection, site, "rotated", now_ms, but=digest)
        connection.execute(
            delete(CREDENTIALS).where(
                CREDENTIALS.c.site == site, CREDENTIALS.c.ended_ms < now_ms - KEEP_ENDED_MS
            )
        )


def revoke(store: Store, site: str, now_ms: int) -> bool:
    """Ends every credential and invitation of the site and withdraws its offer. False: nothing
    was there to end."""
    with store.write() as connection:
        _void_invitations(connection, site, now_ms)
        ended = _end_credentials(connection, site, "revoked", now_ms)
        newest = _newest_row(connection, site)
        if newest is not None and newest.invitation is None and not ended:
            return False
        _add_offer(connection, site, None, None, now_ms)
    return True


def save_offer(store: Store, offer: SiteOffer, now_ms: int) -> bool:
    """The site's offer from now on. False: it is what it was, or the site was revoked."""
    with store.write() as connection:
        newest = _newest_row(connection, offer.site)
        if newest is None or newest.invitation is None or newest.offer == offer:
            return False
        _add_offer(connection, offer.site, newest.invitation, offer, now_ms)
    return True


def mark(store: Store, site: str, pool: str, status: OfferStatus, now_ms: int) -> None:
    """The network operator's word; "open" takes it back."""
    with store.write() as connection:
        connection.execute(
            delete(SITE_MARKS).where(SITE_MARKS.c.site == site, SITE_MARKS.c.pool == pool)
        )
        if status != "open":
            connection.execute(
                insert(SITE_MARKS), {"site": site, "pool": pool, "status": status, "at_ms": now_ms}
            )
        raise_snapshot_version(connection)


_CREDENTIALS = select(CREDENTIALS)
_OFFERS = select(OFFERS).order_by(OFFERS.c.seq)
_MARKS = select(SITE_MARKS)


def all_credentials(store: Store) -> tuple[Credential, ...]:
    with store.read() as connection:
        return tuple(Credential(**row) for row in connection.execute(_CREDENTIALS).mappings())


def all_offers(store: Store) -> tuple[OfferRow, ...]:
    """Every row ever, oldest first."""
    with store.read() as connection:
        return tuple(_offer_row(row) for row in connection.execute(_OFFERS).mappings())


def all_marks(store: Store) -> dict[str, dict[str, OfferStatus]]:
    """By site, then by pool ("" for the whole site)."""
    found: dict[str, dict[str, OfferStatus]] = {}
    with store.read() as connection:
        for row in connection.execute(_MARKS).mappings():
            found.setdefault(row["site"], {})[row["pool"]] = row["status"]
    return found


def open_invitations(store: Store, now_ms: int) -> dict[str, int]:
    """Sites with an invitation that can still be used, and until when."""
    query = select(INVITATIONS.c.site, INVITATIONS.c.expires_ms).where(
        INVITATIONS.c.used_ms.is_(None),
        INVITATIONS.c.void_ms.is_(None),
        INVITATIONS.c.expires_ms > now_ms,
    )
    with store.read() as connection:
        return {site: int(expires_ms) for site, expires_ms in connection.execute(query)}


def _good(connection: Connection, digest: str) -> bool:
    query = select(CREDENTIALS.c.ended_ms).where(CREDENTIALS.c.digest == digest)
    row = connection.execute(query).one_or_none()
    return row is not None and row[0] is None


def _known(connection: Connection, digest: str) -> bool:
    query = select(CREDENTIALS.c.site).where(CREDENTIALS.c.digest == digest)
    return connection.execute(query).one_or_none() is not None


def _add_credential(
    connection: Connection, digest: str, site: str, now_ms: int, first_used_ms: int | None
) -> None:
    connection.execute(
        insert(CREDENTIALS),
        {"digest": digest, "site": site, "created_ms": now_ms, "first_used_ms": first_used_ms},
    )


def _end_credentials(
    connection: Connection, site: str, why: EndedWhy, now_ms: int, but: str = ""
) -> int:
    done = connection.execute(
        update(CREDENTIALS)
        .where(
            CREDENTIALS.c.site == site,
            CREDENTIALS.c.digest != but,
            CREDENTIALS.c.ended_ms.is_(None),
        )
        .values(ended_ms=now_ms, ended_why=why)
    )
    return done.rowcount


def _newest_row(connection: Connection, site: str) -> OfferRow | None:
    query = select(OFFERS).where(OFFERS.c.site == site).order_by(OFFERS.c.seq.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _offer_row(row)


def _last_offer(connection: Connection, site: str) -> SiteOffer | None:
    newest = _newest_row(connection, site)
    return None if newest is None else newest.offer


def _offer_row(row: RowMapping) -> OfferRow:
    values = dict(row)
    invitation, offer = values["invitation"], values["offer"]
    return OfferRow(
        site=values["site"],
        at_ms=values["at_ms"],
        invitation=None if invitation is None else codec.from_json(Invitation, invitation),
        offer=None if offer is None else codec.from_json(SiteOffer, offer),
    )


def _add_offer(
    connection: Connection,
    site: str,
    invitation: Invitation | None,
    offer: SiteOffer | None,
    now_ms: int,
) -> None:
    connection.execute(
        insert(OFFERS),
        {
            "site": site,
            "at_ms": now_ms,
            "invitation": None if invitation is None else codec.to_json(invitation),
            "offer": None if offer is None else codec.to_json(offer),
        },
    )
    raise_snapshot_version(connection)

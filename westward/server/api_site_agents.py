"""How a site's agent joins and says what it offers. Every request is safe to repeat."""

from __future__ import annotations

import logging
import re

from fastapi import APIRouter

from westward.model.offer import (
    Enrol,
    Enrolled,
    FolderPool,
    Invitation,
    OfferAnswer,
    OfferMessage,
    Rotate,
    Rotated,
)
from westward.network.offer_check import check_offer
from westward.server.api_jobs import CoreDep
from westward.server.core import Core
from westward.server.errors import ApiError
from westward.server.guard import SpeakerDep, admit
from westward.server.joined import invitation_of, pools_of_others
from westward.server.limits import check_message
from westward.server.rights import digest_of
from westward.store.enrol import Enrolment, enrol, rotate, save_offer
from westward.store.sites import check_session

ROTATE_SHARE = 4
"""A credential is followed by another at the earliest after this part of the rotation's time."""
OFFERS_SPAN_MS = 3_600_000
OFFERS_MOST = 120
"""Changes of one site's offer that are taken in that time: every one is kept."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REFUSALS = {
    "token-unknown": "there is no such invitation; look at the token, or ask for another",
    "token-used": "this invitation was used before; ask the network's operator for another",
    "token-expired": "this invitation has expired; ask the network's operator for another",
    "token-void": "a later invitation or a revocation has replaced this one; ask for another",
    "digest-taken": "that credential is known already; make another",
}
router = APIRouter(prefix="/v1/agent", tags=["agents"])
log = logging.getLogger("westward.server")


@router.post("/enrol")
async def enrol_site(message: Enrol, core: CoreDep) -> Enrolled:
    """Uses an invitation up and makes the agent's credential the site's only one."""
    check_message(message)
    _check_digest(message.credential_digest)
    answer = await core.write(
        enrol,
        core.store,
        digest_of(message.token),
        message.credential_digest,
        core.clock.now_ms(),
    )
    if not isinstance(answer, Enrolment):
        log.warning("an enrolment was refused: %s", answer)
        raise ApiError(403, answer, _REFUSALS[answer])
    site = answer.invitation.site
    if not answer.repeated:
        log.info("site %s has enrolled", site)
        await core.sites_changed()
        core.sites.ring(site)  # an agent with the earlier credential hears that it is over
    return enrolled(core, answer.invitation)


def enrolled(core: Core, invitation: Invitation) -> Enrolled:
    folder = core.folder
    own = [pool for pool in folder.pools if pool.site == invitation.site]
    return Enrolled(
        site=invitation.site,
        network=folder.name,
        currency=folder.currency,
        accelerators=tuple(kind.name for kind in folder.accelerators),
        in_folder=any(site.name == invitation.site for site in folder.sites),
        folder_pools=tuple(
            FolderPool(
                name=pool.name,
                engine=pool.engine,
                accelerator=pool.accelerator,
                nodes=pool.nodes,
                devices_per_node=pool.devices_per_node,
            )
            for pool in own
        ),
    )


def _check_digest(digest: str) -> None:
    if _DIGEST.fullmatch(digest) is None:
        raise ApiError(422, "malformed-request", "a digest is 64 hexadecimal digits (SHA-256)")


@router.post("/rotate")
async def rotate_credential(message: Rotate, core: CoreDep, speaker: SpeakerDep) -> Rotated:
    """Announces the next credential. The one in use stays good until the next was used once."""
    _check_digest(message.next_digest)
    if speaker.site is None:
        raise ApiError(401, "credential-missing", "only a credential can be followed by another")
    now_ms = core.clock.now_ms()
    held = core.joined.credentials[speaker.digest]
    if now_ms - held.created_ms < core.settings.rotate_ms // ROTATE_SHARE:
        raise ApiError(429, "too-soon", "this credential is too young to be followed")
    if not await core.write(rotate, core.store, speaker.site, message.next_digest, now_ms):
        raise ApiError(403, "digest-taken", _REFUSALS["digest-taken"])
    await core.sites_changed()
    return Rotated(site=speaker.site)


@router.post("/offer")
async def take_offer(message: OfferMessage, core: CoreDep, speaker: SpeakerDep) -> OfferAnswer:
    """What the site offers from now on: whole, or not at all and with every fault."""
    offer = message.offer
    admit(core, speaker, offer.site)
    invitation = invitation_of(core.joined, offer.site)
    if invitation is None:
        text = f"site {offer.site} has not joined: an offer needs an invitation"
        raise ApiError(403, "not-joined", text)
    since_ms = core.clock.now_ms() - OFFERS_SPAN_MS
    recent = sum(row.site == offer.site and row.at_ms > since_ms for row in core.joined.rows)
    if recent > OFFERS_MOST:
        text = f"a site may change its offer {OFFERS_MOST} times an hour"
        raise ApiError(429, "too-many-offers", text)
    over = await core.read(check_session, core.store, offer.site, message.agent_session)
    if over is not None:
        raise ApiError(409, "session-superseded", "another agent speaks for the site")
    faults = check_offer(offer, invitation, core.folder, pools_of_others(core.joined, offer.site))
    if faults:
        return OfferAnswer(accepted=False, faults=faults)
    if await core.write(save_offer, core.store, offer, core.clock.now_ms()):
        log.info("site %s: a new offer of %d pools", offer.site, len(offer.pools))
        await core.sites_changed()
    return OfferAnswer(accepted=True)

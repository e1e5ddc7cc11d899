"""A joined site's agent: keeps its offer and its credential with the server up to date.

The server's answer to an offer is written to ``STATE/applied.json`` for ``westward site apply``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from westward.agent import credential as credentials
from westward.agent.credential import Credential, digest_of, wall_ms
from westward.agent.engines.cannot import lacks
from westward.agent.link import NotAdmitted, Refused, ServerLink, Unreachable
from westward.agent.site_file import SiteFile, read_site_file
from westward.model.faults import Fault, InputFaults
from westward.model.offer import DiscoveredPool, OfferMessage, Rotate
from westward.model.wire import Grant, Welcome

SITE_FILE = "site.yaml"
APPLIED_FILE = "applied.json"
ROTATE_AGAIN_MS = 60_000
"""After an announcement that was not answered."""

log = logging.getLogger("westward.agent")


class Member:
    """``state`` is the agent's folder. ``discover`` asks the engine; it may take a while."""

    def __init__(
        self,
        state: Path,
        site: str,
        credential: Credential,
        file: SiteFile,
        discover: Callable[[], tuple[DiscoveredPool, ...]],
    ) -> None:
        self.state = state
        self.site = site
        self.credential = credential
        self.discover = discover
        self.file = file
        """As last taken by the server (at first: as it stood when the agent started)."""
        self._wanted: SiteFile | None = file
        """To be sent with the next poll."""
        self._session = 0
        self._rotate_after_ms = 0
        self._names = file.engine_pools

    def reload(self) -> None:
        """Reads the site's file again (SIGHUP). A file with faults changes nothing."""
        try:
            text = (self.state / SITE_FILE).read_text(encoding="utf-8")
            read = read_site_file(text, self.site, file=SITE_FILE)
        except InputFaults as error:
            self._refused(text, error.faults)
            return
        except (OSError, UnicodeDecodeError) as error:
            self._refused("", [Fault(SITE_FILE, None, "", str(error), "Write it again.")])
            return
        if (read.engine, read.options) != (self.file.engine, self.file.options):
            log.warning("engine and options are read when the agent starts: start it again")
        self._wanted = read

    def at_engine(self, grant: Grant) -> Grant:
        """The grant with the engine's own name of its pool."""
        return replace(grant, pool=self._names.get(grant.pool, grant.pool))

    async def before_poll(self, link: ServerLink, welcome: Welcome) -> None:
        """Whatever is to be said besides. Raises NotAdmitted, SessionEnded."""
        if welcome.agent_session != self._session:  # a new session: say everything anew
            self._session = welcome.agent_session
            self._wanted = self._wanted or self.file
        try:
            if self._wanted is not None:
                await self._offer(link, self._wanted)
            if welcome.rotate_ms is not None:
                await self._rotate(link, welcome.rotate_ms)
        except Unreachable as error:
            log.info("not told yet: %s", error)

    async def _offer(self, link: ServerLink, wanted: SiteFile) -> None:
        try:
            found = await asyncio.to_thread(self.discover)
        except OSError as error:
            log.warning("the engine cannot say what there is: %s", error)
            found = self.file.offer.discovered
        offer = replace(wanted.offer, discovered=found, lacks=lacks(wanted.engine))
        answer = await link.offer(OfferMessage(agent_session=self._session, offer=offer))
        if self._wanted is wanted:
            self._wanted = None
        if not answer.accepted:
            self._refused(wanted.text, [wanted.placed(fault) for fault in answer.faults])
            return
        log.info("offered: %d pools", len(offer.pools))
        self.file = wanted
        # A run keeps the pool it was granted: names of earlier offers stay known.
        self._names = {**self._names, **wanted.engine_pools}
        self._note(wanted.text, [])

    def _refused(self, text: str, faults: list[Fault] | tuple[Fault, ...]) -> None:
        for fault in faults:
            log.error("the offer is not taken: %s", fault)
        self._note(text, list(faults))

    def _note(self, text: str, faults: list[Fault]) -> None:
        note = {
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "at_ms": wall_ms(),
            "faults": [asdict(fault) for fault in faults],
        }
        try:
            credentials.write_private(self.state / APPLIED_FILE, json.dumps(note))
        except OSError as error:
            log.error("%s cannot be written: %s", APPLIED_FILE, error)

    async def _rotate(self, link: ServerLink, rotate_ms: int) -> None:
        """Announce the next secret, and show it from then on. See ``agent.credential``."""
        now_ms = wall_ms()
        if not self.credential.due(rotate_ms, now_ms) or now_ms < self._rotate_after_ms:
            return
        self._rotate_after_ms = now_ms + min(ROTATE_AGAIN_MS, rotate_ms)
        try:
            following = self.credential.with_following()
            credentials.save(self.state, following)
            self.credential = following
            assert following.following is not None
            await link.rotate(Rotate(next_digest=digest_of(following.following)))
            followed = following.followed(now_ms)
            credentials.save(self.state, followed)
        except OSError as error:  # disk full: the one in use stays good
            log.error("the credential cannot be followed by another: %s", error)
            return
        except NotAdmitted:
            raise
        except Refused as error:
            log.error("the server does not take another credential: %s", error)
            return
        self.credential = followed
        link.secret = followed.secret
        self._rotate_after_ms = 0
        log.info("a new credential is in use")

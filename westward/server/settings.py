"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from westward.model.plan import Policy
from westward.server.oidc_settings import OidcSettings

LIVE_POLICY = Policy(discipline="conservative", review_ms=60_000)
POLL_SHARE = 5
"""A poll is held for at most this part of a lease (see agent.agent)."""
IDLE_POLL_MOST_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``network`` and ``data`` are folders; the database is ``data/westward.db``, or ``store``."""

    network: Path
    data: Path
    store: str | None = None
    """URL of a PostgreSQL that several servers may share: ``postgresql://...``."""
    checkpoint_folder: Path | None = None
    """Where checkpoints are kept between runs; one folder for all servers. None: in ``data``."""
    operator_file: Path | None = None
    """Holds the operator's token. None: ``operator.token`` in ``data``, made at the first start."""
    name: str = ""
    """Of this server, where there are several."""
    policy: Policy = field(default_factory=lambda: LIVE_POLICY)
    lease_ttl_ms: int = 15_000
    margin_ms: int = 1_000
    """Between the end of a lease and the next run of the same job."""
    plan_every_ms: int = 5_000
    """Waiting jobs are looked at again at least this often, whatever happens or does not."""
    checkpoint_most_bytes: int = 4 * 2**30
    """Of one job, kept at the server between its runs; a larger one stays at its site."""
    preempt: bool = False
    """A waiting job may have runs of lower priority that save checkpoints stopped for it."""
    reconsider_ms: int = 0
    """So often running jobs that save checkpoints are compared with going on elsewhere, and moved
    where that pays; 0 = never."""
    host: str = "127.0.0.1"
    port: int = 0
    require_credentials: bool = False
    """Agents of the folder's own sites need one too, even from this machine."""
    open_to_users: bool = False
    """Users' requests are taken from other machines as well; there are no users to tell apart."""
    users: bool = False
    """Users are told apart: everyone but agents shows a token, from wherever."""
    oidc: OidcSettings | None = None
    """Users may log in at this provider; goes with ``users``. None: tokens are minted only."""
    rotate_ms: int = 24 * 3_600_000
    """Sites' credentials are followed by new ones when they are this old."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tes_host_images: tuple[str, ...] = ()
    """Name patterns of container images that TES tasks may name: the sites' own hosts can do what
    these are used for. Their executors run as processes on the host."""
    tes_organization_url: str = "http://localhost"
    """Of whoever runs the network; TES's service info must state one."""

    @property
    def database_url(self) -> str:
        return self.store or f"sqlite:///{self.data.resolve() / 'westward.db'}"

    @property
    def checkpoints(self) -> Path:
        return self.checkpoint_folder or self.data / "checkpoints"

    @property
    def poll_wait_ms(self) -> int:
        return min(self.lease_ttl_ms // POLL_SHARE, IDLE_POLL_MOST_MS)

    @property
    def site_lost_ms(self) -> int:
        """A site not heard of for this long takes no new work."""
        return self.lease_ttl_ms

"""What a server is told on its command line. Light: ``--help`` loads no server."""

from __future__ import annotations

import argparse
import ssl
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from westward.formats.policy_file import LIVE_LEAST_MS, read_live_policy
from westward.model.units import parse_bytes, parse_duration_ms
from westward.server.oidc_settings import OidcSettings, read_oidc
from westward.server.settings import LIVE_POLICY, Settings


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="westward.server", description="The control service.")
    parser.add_argument("--network", required=True, type=Path, help="the network folder")
    parser.add_argument(
        "--data", required=True, type=Path, help="a folder of this server alone: database, token"
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help="postgresql://USER@HOST/DATABASE in place of a file in --data; several servers may "
        "share it, one of them leads (see docs/operations.md)",
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="where checkpoints are kept between runs; servers of one --store share it "
        "(default: in --data)",
    )
    parser.add_argument(
        "--operator-token",
        type=Path,
        metavar="FILE",
        help="holds the operator's token; servers of one --store share it (default: in --data)",
    )
    parser.add_argument("--name", default="", help="of this server, for /healthz and logs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one, see server.json")
    parser.add_argument("--lease", default="15s", help="lease time, for example 15s")
    parser.add_argument("--margin", default="1s", help="between a lease's end and the next run")
    parser.add_argument("--tls-cert", type=Path, help="PEM file: HTTPS with this certificate")
    parser.add_argument("--tls-key", type=Path, help="PEM file: its key")
    parser.add_argument(
        "--require-credentials",
        action="store_true",
        help="agents on this machine must have joined too",
    )
    parser.add_argument(
        "--open-to-users",
        action="store_true",
        help="take users' requests from other machines: anyone who reaches the port is a user",
    )
    parser.add_argument(
        "--users",
        action="store_true",
        help="tell users apart: everyone but agents needs a token (see docs/howto/people.md)",
    )
    parser.add_argument(
        "--oidc",
        type=Path,
        metavar="FILE",
        help="let users log in at an OpenID provider; its settings (see docs/howto/login.md)",
    )
    parser.add_argument("--rotate", default="1d", help="age at which credentials are followed")
    parser.add_argument(
        "--tes-host-image",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a container image that GA4GH TES tasks may name (alpine*): its commands then run as "
        "processes on a site's host; may be given several times (default: only 'host')",
    )
    parser.add_argument(
        "--tes-organization-url", default="http://localhost", help="for TES's service info"
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="how to choose: the keys of a study's policies, as they were rehearsed (see "
        "docs/howto/studies.md); what is not stated stays as it is without a file",
    )
    parser.add_argument(
        "--preempt",
        action="store_true",
        help="stop runs of lower priority that save checkpoints for a waiting job of higher",
    )
    parser.add_argument(
        "--reconsider",
        metavar="TIME",
        help="so often move jobs that save checkpoints and run, or stand in a site's own queue, to "
        "where going on costs less; off",
    )
    parser.add_argument(
        "--review",
        metavar="TIME",
        help="so often, at most, jobs that wait for capacity look at the other pools again and wait "
        "where that costs less; 0s: a job keeps the pool it was bound to (default: 1m)",
    )
    parser.add_argument(
        "--assume-duration",
        metavar="TIME",
        help="what jobs that state no duration are thought to take (default: 1h)",
    )
    parser.add_argument(
        "--checkpoint-most",
        default="4GB",
        metavar="SIZE",
        help="of one job, kept here between its runs; a larger one stays at its site",
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    return parser


def parse(arguments: list[str]) -> tuple[Settings, str]:
    """Settings and log level. Ends the process where ``argparse`` does: 0 for --help, 2. Raises
    InputFaults for the files of ``--oidc`` and ``--policy``."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    policy = LIVE_POLICY
    if options.policy is not None:
        policy = read_live_policy(options.policy, LIVE_POLICY)
    try:
        ttl_ms, margin_ms = parse_duration_ms(options.lease), parse_duration_ms(options.margin)
        rotate_ms = parse_duration_ms(options.rotate)
        checkpoint_most_bytes = parse_bytes(options.checkpoint_most)
        assumed_ms = policy.assumed_duration_ms
        if options.assume_duration:
            assumed_ms = parse_duration_ms(options.assume_duration)
        reconsider_ms = policy.reconsider_ms
        if options.reconsider:
            reconsider_ms = parse_duration_ms(options.reconsider)
        review_ms = policy.review_ms
        if options.review:
            review_ms = parse_duration_ms(options.review)
    except ValueError as error:
        parser.error(str(error))
    if ttl_ms < 1_000:
        parser.error("--lease: at least 1s")
    if options.store and not options.store.startswith("postgresql://"):
        parser.error(
            "--store: postgresql://USER@HOST/DATABASE; without it a file in --data is used"
        )
    if rotate_ms < 1_000:
        parser.error("--rotate: at least 1s")
    if options.users and options.open_to_users:
        parser.error(
            "--users lets users of other machines in by their tokens: leave --open-to-users out"
        )
    if options.oidc is not None and not options.users:
        parser.error("--oidc goes with --users")
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    for path in (options.tls_cert, options.tls_key):
        if path is not None and not path.is_file():
            parser.error(f"there is no file {path}")
    if options.tls_cert is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                options.tls_cert, options.tls_key
            )
        except (OSError, ssl.SSLError) as error:
            parser.error(f"--tls-cert {options.tls_cert}: not a certificate with its key: {error}")
    if options.reconsider and reconsider_ms < LIVE_LEAST_MS:
        parser.error("--reconsider: at least 1s")
    if 0 < review_ms < LIVE_LEAST_MS:
        parser.error("--review: at least 1s, or 0s for never")
    if assumed_ms < LIVE_LEAST_MS:
        parser.error("--assume-duration: at least 1s")
    oidc = None if options.oidc is None else _read_oidc(parser, options.oidc)
    settings = Settings(
        oidc=oidc,
        network=options.network,
        data=options.data,
        store=options.store,
        checkpoint_folder=options.checkpoints,
        operator_file=options.operator_token,
        name=options.name,
        # What stops runs is decided beside the plan, here as in ``preempt`` and ``reconsider_ms``.
        policy=replace(
            policy,
            assumed_duration_ms=assumed_ms,
            review_ms=review_ms,
            preemption=False,
            reconsider_ms=0,
        ),
        lease_ttl_ms=ttl_ms,
        margin_ms=margin_ms,
        checkpoint_most_bytes=checkpoint_most_bytes,
        preempt=options.preempt or policy.preemption,
        reconsider_ms=reconsider_ms,
        host=options.host,
        port=options.port,
        require_credentials=options.require_credentials,
        open_to_users=options.open_to_users,
        users=options.users,
        rotate_ms=rotate_ms,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        tes_host_images=tuple(options.tes_host_image),
        tes_organization_url=options.tes_organization_url,
    )
    return settings, options.log_level


def _read_oidc(parser: argparse.ArgumentParser, path: Path) -> OidcSettings:
    """Raises InputFaults."""
    if find_spec("authlib") is None:
        parser.error("--oidc wants libraries that are not here: pip install 'westward[oidc]'")
    return read_oidc(path)

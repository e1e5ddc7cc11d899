"""The wide network: server and four joined sites, each agent where its site is."""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from tests.data_s3.s3_server import S3Server
from tests.live.harness import ROOT, until
from tests.live.joining import Grid, Json, make_authority
from tests.wide.sites import SITES, FarSite, far_site
from tests.wide.wan import HUB, Network, hub
from westward.model.wire import Reading
from westward.store.database import open_store
from westward.store.metering import load_readings

LEASE = "20s"


@dataclass
class Wide(Grid):
    """Used from within ``hub`` (``hub.entered()``), where the server and the home site are."""

    hub: Network = field(default_factory=hub)
    sites: dict[str, FarSite] = field(default_factory=dict)
    store: S3Server | None = None
    """An S3 store at home: what a far site reads of it comes over its line."""

    def __post_init__(self) -> None:
        self.network = self.folder / "network"
        shutil.copytree(ROOT / "tests" / "wide" / "network", self.network)
        self.data = self.folder / "data"
        self.lease = LEASE
        self.ca, cert, key = make_authority(self.folder, "westward.test", HUB)
        self.options = (
            "--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key),
            "--require-credentials", "--preempt",
        )  # fmt: skip
        self.trust = ssl.create_default_context(cafile=str(self.ca))

    # -- up and down

    def up(self) -> None:
        with self.hub.entered():
            self.store = S3Server(self.folder / "s3", host=HUB)
            self.start_server()
            self.url = f"https://127.0.0.1:{self.port}"
            for name in SITES:
                site = self.sites[name] = far_site(name, self.folder / name, self.hub)
                site.up()
                self.join_site(site)
            for name in SITES:
                until(lambda name=name: self.site_status(name) == "open", f"{name} is open")  # type: ignore[misc]

    def join_site(self, site: FarSite) -> None:
        """As an operator does it: the invitation by hand, the rest at the site, over its line."""
        token = self.invite(site.name)
        offer = site.folder / "offer.yaml"
        offer.write_text(site.offer())
        with site.network.entered():
            self.cli(
                "site", "join", f"https://{HUB}:{self.port}", "--token", token, "--ca",
                str(self.ca), "--state", str(site.state), "--offer", str(offer), "--no-start",
            )  # fmt: skip
            assert self.store is not None
            self.agents[site.name] = self._spawn(
                site.name, "-m", "westward.cli.main", "site", "run", "--state", str(site.state),
                **self.store.environment(),
            )  # fmt: skip

    def down(self) -> None:
        """Everything that was started, also after a failure half-way."""
        self.close()
        if self.store is not None:
            self.store.close()
        for site in self.sites.values():
            site.down()
        self.hub.close()

    # -- talking to the server: https, from its own machine

    def cli(self, *arguments: str, code: int = 0, **environment: str) -> str:
        here = {"WESTWARD_CA": str(self.ca), "WESTWARD_SERVER": self.url}
        return super().cli(*arguments, code=code, **{**here, **environment})

    def call(
        self, method: str, path: str, body: object = None, secret: str | None = None
    ) -> tuple[int, Json]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.trust) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def post(self, path: str, body: Json) -> Json:
        status, answer = self.call("POST", path, body)
        assert status in (200, 201), (path, answer)
        return answer

    def readings(self, run_id: str) -> tuple[Reading, ...]:
        """What the server has of a run's meter, from its database."""
        store = open_store(f"sqlite:///{self.data / 'westward.db'}")
        try:
            return load_readings(store, run_id)
        finally:
            store.close()

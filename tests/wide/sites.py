"""The four sites of the wide network: their engines, brought up, and what each offers.

``engine`` is what stands at a site whether or not Westward does. All of a far site stands in its
own network: daemons, jobs, the agent.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines_up.ray_cluster import RayCluster
from tests.engines_up.slurm import Cluster
from tests.wide.wan import Line, Network, line

DELAYS_MS = {"alpha": 8, "beta": 20, "ray": 30}
"""One way, between the hub and each far site. Home stands at the hub."""
SITES = ("alpha", "beta", "home", "ray")
SLURM_SITES = ("alpha", "beta")
PORT = 24_100
"""Of slurmctld; each site has its own loopback, so that all may use the same."""
DATABASE_PORT = 24_150
SACCT = "JobIDRaw,JobName,State,ElapsedRaw,AllocTRES,NodeList"


@dataclass
class Pool:
    name: str
    engine_pool: str = ""
    terms: str = ""
    """More lines for its entry in site.yaml."""


POOLS = {
    "alpha": (Pool("alpha-main", "main"), Pool("alpha-spot", "spot", "purposes: [spare]")),
    "beta": (Pool("beta-main", "main"),),
    "home": (Pool("home-cores"),),
    "ray": (Pool("ray-cards"),),
}


@dataclass
class FarSite:
    """One site: its network, its line to the hub, and its engine."""

    name: str
    folder: Path
    network: Network
    line: Line | None = None
    cluster: Cluster | None = None
    ray: RayCluster | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def engine(self) -> str:
        return {"alpha": "slurm", "beta": "slurm", "ray": "ray"}.get(self.name, "local")

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def up(self) -> None:
        """The engine, and what the agent is to be told of it."""
        self.folder.mkdir(mode=0o755)
        self.options = {"grace_ms": "3000", "reading_ms": "1000"}
        with self.network.entered():
            if self.engine == "slurm":
                shared = self.folder / "shared"
                shared.mkdir()
                gpus = 4 if self.name == "alpha" else 2
                self.cluster = Cluster(
                    self.folder / "slurm", self.name, PORT, gpus=gpus, database=DATABASE_PORT
                )
                self.cluster.up()
                self.options |= {
                    "conf": str(self.cluster.conf), "shared": str(shared), "gres": "H100=gpu:h100",
                }  # fmt: skip
            elif self.engine == "ray":
                self.ray = RayCluster()
                self.ray.start()
                self.options |= {
                    "address": self.ray.address, "token_file": str(self.ray.token_file),
                }  # fmt: skip

    def offer(self) -> str:
        """The operator's site.yaml."""
        lines = [
            f"site: {self.name}",
            f"engine: {self.engine}",
            f"options: {json.dumps(self.options)}",
            "status: open",
            "pools:",
        ]
        for pool in POOLS[self.name]:
            lines += [f"  - name: {pool.name}", f"    engine_pool: {pool.engine_pool}"]
            lines += [f"    {pool.terms}"] if pool.terms else []
        return "\n".join(lines) + "\n"

    def sacct(self) -> dict[str, dict[str, str]]:
        """Slurm's own account by job name (Westward's run id), asked by nobody of Westward's."""
        assert self.cluster is not None
        with self.network.entered():
            text = self.cluster.run(
                "sacct", "-X", "-n", "-P", "-D", "-S", "now-1day", f"--format={SACCT}"
            )
        rows = [
            dict(zip(SACCT.split(","), row.split("|"), strict=True)) for row in text.splitlines()
        ]
        return {row["JobName"]: row for row in rows}

    def node_of(self, run_id: str) -> str:
        """Where a run runs, as Slurm has it."""
        assert self.cluster is not None
        with self.network.entered():
            return self.cluster.run("squeue", "-h", "-n", run_id, "-o", "%N").strip()

    def work_of_its_own(self, node: str, script: str) -> None:
        """The site's user hands in work that Westward knows nothing of: all cards of ``node``, in
        the partition that may put out the other one's jobs."""
        assert self.cluster is not None
        with self.network.entered():
            self.cluster.run(
                "sbatch", "--partition=main", f"--nodelist={node}", "--gres=gpu:h100:4",
                "--output=/dev/null", "--job-name=the-sites-own", f"--wrap={script}",
            )  # fmt: skip

    def down(self) -> None:
        with self.network.entered():
            if self.cluster is not None:
                self.cluster.down()
            if self.ray is not None:
                self.ray.stop()
        if self.line is not None:
            self.line.close()
        self.network.close()


def far_site(name: str, folder: Path, hub: Network) -> FarSite:
    """Not up yet. Home is at the hub itself."""
    if name not in DELAYS_MS:
        with hub.entered():
            return FarSite(name, folder, Network.of_caller())
    network = Network()
    number = 1 + list(DELAYS_MS).index(name)
    return FarSite(name, folder, network, line(hub, network, number, DELAYS_MS[name]))


def check_machine() -> None:
    """SystemExit says what is missing and cannot be installed here."""
    import os

    from tests.engines_up import slurm
    from tests.engines_up.ray_cluster import ray_programs

    if os.geteuid() != 0:
        raise SystemExit("the wide test needs root: Slurm's daemons and networks of their own")
    slurm.installed(slurm.PROGRAMS, slurm.PACKAGES)
    slurm.installed(slurm.DATABASE_PROGRAMS, slurm.DATABASE_PACKAGES)
    slurm.installed(("ip", "openssl"), ("iproute2", "openssl"))
    ray_programs()
    if not Path("/dev/net/tun").exists():
        made = subprocess.run(["modprobe", "tun"], check=False, capture_output=True)
        if made.returncode != 0 or not Path("/dev/net/tun").exists():
            raise SystemExit("no /dev/net/tun: the kernel's tun module is needed (modprobe tun)")


if __name__ == "__main__":
    check_machine()

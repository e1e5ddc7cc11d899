"""A made-up network of national size: 40 sites of 25,000 accelerators, each with its own tariff,
carbon curve and price, all linked. The benchmark's yardstick, not a forecast: figures are drawn."""

from __future__ import annotations

import math

import numpy as np

from westward.model.network import Accelerator, Link, Network, Pool, Series, Site, Zone

HOUR_MS = 3_600_000
KINDS = (("kind-a", 1.0, 400.0), ("kind-b", 0.6, 310.0), ("kind-c", 1.6, 700.0))
"""Name, relative speed, watts."""


def national(sites: int = 40, devices: int = 25_000, kinds: int = 1, seed: int = 7) -> Network:
    """``sites`` sites of one pool each, ``devices`` accelerators in nodes of 8; several ``kinds``
    in turn, with their speeds."""
    rng = np.random.Generator(np.random.PCG64(seed))
    east = rng.random((sites, 2)) * (3_000.0, 2_000.0)
    names = [f"site-{k:02d}" for k in range(sites)]
    zones, places, pools = [], [], []
    for k, name in enumerate(names):
        level = 0.30 + 0.45 * float(east[k, 0]) / 3_000.0
        tariff = [level * (0.5 if h < 7 else 1.5 if 17 <= h < 22 else 1.0) for h in range(24)]
        sun = 300.0 * rng.random()
        carbon = [
            550.0 * rng.random() / 24 + 350.0 - sun * max(0.0, math.sin((h - 6) / 12 * math.pi))
            for h in range(24)
        ]
        zones.append(
            Zone(
                name=f"zone-{k:02d}",
                label=f"zone {k}",
                tariff_per_kwh=Series(step_ms=HOUR_MS, values=tuple(tariff)),
                carbon_location_g_per_kwh=Series(step_ms=HOUR_MS, values=tuple(carbon)),
                carbon_contract_g_per_kwh=None,
            )
        )
        places.append(
            Site(
                name=name,
                label=name,
                operator="",
                zone=f"zone-{k:02d}",
                lat_deg=None,
                lon_deg=None,
                pue=1.1 + 0.4 * float(rng.random()),
                tags=(),
            )
        )
        kind, _, watts = KINDS[k % kinds]
        pools.append(
            Pool(
                name=f"pool-{k:02d}",
                site=name,
                engine="slurm",
                managed=True,
                accelerator=kind,
                nodes=devices // 8,
                devices_per_node=8,
                cpus_per_node=96,
                memory_mib_per_node=1_048_576,
                price_micros_per_device_hour=round(3_000_000 + 1_500_000 * float(rng.random())),
                power_w_per_device=watts,
            )
        )
    links = []
    for a in range(sites):
        for b in range(a + 1, sites):
            km = float(np.hypot(*(east[a] - east[b])))
            links.append(
                Link(
                    a=names[a],
                    b=names[b],
                    one_way_ms=0.5 + km / 200.0,
                    bandwidth_gbps=100.0,
                    price_micros_per_gb=round(5_000 + 10 * km),
                )
            )
    return Network(
        name="national", label=f"{sites} made-up sites of {devices:,} accelerators",
        currency="CNY", series_origin="2026-01-01T00:00:00+00:00", sites=tuple(places),
        pools=tuple(pools),
        accelerators=tuple(
            Accelerator(
                name=name, label=name, vendor="", memory_gb=64.0, power_w_max=watts,
                relative_speed=speed, fp16_dense_tflops=None,
            )
            for name, speed, watts in KINDS[:kinds]
        ),
        zones=tuple(zones), places=(), links=tuple(links), facts=(), sources=(),
        digest=f"national-{sites}-{devices}-{kinds}-{seed}",
    )  # fmt: skip

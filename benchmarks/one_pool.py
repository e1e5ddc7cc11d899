"""One pool of identical processors, priced at nothing: the machine of a batch-scheduler log."""

from __future__ import annotations

from westward.model.network import Accelerator, Network, Pool, Series, Site, Zone


def one_pool(processors: int) -> Network:
    """A network of one site with ``processors`` one-device nodes."""
    flat = Series(step_ms=3_600_000, values=(0.0,))
    return Network(
        name="one-pool",
        label=f"one pool of {processors} processors",
        currency="CNY",
        series_origin="1970-01-01T00:00:00+00:00",
        sites=(
            Site(
                name="site", label="site", operator="", zone="zone",
                lat_deg=None, lon_deg=None, pue=1.0, tags=(),
            ),
        ),
        pools=(
            Pool(
                name="pool", site="site", engine="local", managed=True, accelerator="processor",
                nodes=processors, devices_per_node=1, cpus_per_node=1, memory_mib_per_node=1,
                price_micros_per_device_hour=0, power_w_per_device=0.0,
            ),
        ),
        accelerators=(
            Accelerator(
                name="processor", label="processor", vendor="", memory_gb=None, power_w_max=None,
                relative_speed=1.0, fp16_dense_tflops=None,
            ),
        ),
        zones=(
            Zone(
                name="zone", label="zone", tariff_per_kwh=flat,
                carbon_location_g_per_kwh=flat, carbon_contract_g_per_kwh=None,
            ),
        ),
        places=(),
        links=(),
        facts=(),
        sources=(),
        digest=f"one-pool-{processors}",
    )  # fmt: skip

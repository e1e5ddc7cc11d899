"""Hard constraints of the plain twin: open, accounts, residency, latency, links, shapes. Nothing shared."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network, Pool
from westward.model.reasons import Code


def site_codes(job: JobSpec, site_name: str, network: Network) -> set[Code]:
    """What no passing of time changes."""
    site = network.site(site_name)
    found: set[Code] = set()
    for tag in job.residency:
        have = site.name if tag.key == "site" else dict(site.tags).get(tag.key)
        if have not in tag.values:
            found.add(Code.RESIDENCY)
    for rule in job.latency:
        one_way: float | None = 0.0
        if rule.place != site.name:
            link = network.link(site.name, rule.place)
            one_way = None if link is None else link.one_way_ms
        if one_way is None:
            found.add(Code.LATENCY_UNKNOWN)
        elif one_way * (1 if rule.mode == "one-way" else 2) > rule.limit_ms:
            found.add(Code.LATENCY)
    for data in job.inputs:
        if data.size_bytes == 0 or data.site == site.name:
            continue
        link = network.link(data.site, site.name)
        if link is None or not link.bandwidth_gbps or link.price_micros_per_gb is None:
            found.add(Code.NO_LINK)
    return found


def dominant_need(option: ResourceOption, pool: Pool) -> int:
    """Milli-devices of one gang node: its dominant share of a node × the node's devices, up."""
    node = pool.devices_per_node * 1000
    shares = [Fraction(0)]
    if pool.accelerator is not None:
        shares.append(Fraction(option.devices_milli, node))
    cpus = option.cpus_milli
    if option.devices_milli == cpus == option.memory_mib == 0:
        cpus = 1000  # a job that asks for nothing takes one cpu
    if cpus:
        shares.append(Fraction(cpus, pool.cpus_per_node * 1000))
    if option.memory_mib:
        shares.append(Fraction(option.memory_mib, pool.memory_mib_per_node))
    return max(1, ceil(max(shares) * node))


def option_codes(option: ResourceOption, nodes: int, pool: Pool) -> set[Code]:
    """Why one option does not fit an idle pool; empty when it does."""
    found: set[Code] = set()
    if option.site is not None and option.site != pool.site:
        found.add(Code.WRONG_SITE)
    if option.engine is not None and option.engine != pool.engine:
        found.add(Code.WRONG_ENGINE)
    asks = option.any_accelerator or option.accelerator is not None
    if asks and pool.accelerator is None:
        return found | {Code.WRONG_ACCELERATOR}
    if asks and not option.any_accelerator and option.accelerator != pool.accelerator:
        return found | {Code.WRONG_ACCELERATOR}
    if asks and option.devices_milli > pool.devices_per_node * 1000:
        found.add(Code.DEVICES_PER_NODE)
    if option.cpus_milli > pool.cpus_per_node * 1000:
        found.add(Code.CPUS_PER_NODE)
    if option.memory_mib > pool.memory_mib_per_node:
        found.add(Code.MEMORY_PER_NODE)
    if not found:
        per_node = (pool.devices_per_node * 1000) // dominant_need(option, pool)
        if per_node * pool.nodes < nodes:
            found.add(Code.GANG_TOO_LARGE)
    return found


def wait_by_size(site_wait_ms: tuple[int, ...], need_milli: int) -> int:
    """In the site's own queue: of jobs up to 1, 2, 4, ... devices, the last of all larger ones."""
    for size, wait_ms in enumerate(site_wait_ms):
        if need_milli <= 1000 * 2**size:
            return wait_ms
    return site_wait_ms[-1] if site_wait_ms else 0


def first_option(job: JobSpec, pool: Pool) -> int:
    """The first alternative, in the order written, that the idle pool can hold."""
    for at, option in enumerate(job.options):
        if not option_codes(option, job.nodes, pool):
            return at
    raise AssertionError("asked for the option of a pool that refuses")


def refusal_codes(job: JobSpec, pool: Pool, network: Network, is_open: bool) -> set[Code]:
    """Every reason that holds whatever the hour: of the shapes, those of the nearest option."""
    found = set() if is_open else {Code.POOL_NOT_OPEN}
    found |= site_codes(job, pool.site, network)
    if len(pool.accounts) > 0 and job.account not in set(pool.accounts):
        found.add(Code.ACCOUNT)
    if len(pool.purposes) > 0 and job.purpose not in set(pool.purposes):
        found.add(Code.PURPOSE)
    work = job.work
    if "files" in pool.lacks and (
        job.datasets or job.outputs or work.file_mounts or work.workdir is not None
    ):
        found.add(Code.NO_FILES)
    if "gangs" in pool.lacks and job.nodes != 1:
        found.add(Code.NO_GANGS)
    by_option = [option_codes(option, job.nodes, pool) for option in job.options]
    return found | min(by_option, key=len)

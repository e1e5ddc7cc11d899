"""``resources`` of a SkyPilot task → the alternatives a node of the job may take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from westward.formats.job_fields import OPTION_FIELDS, RESOURCE_FIELDS, RESOURCE_REFUSED
from westward.formats.job_reader import SCALARS, JobReader, decimal_number, join
from westward.formats.listed import NAME
from westward.formats.yaml_nodes import Entry, Value
from westward.model.job import ResourceOption
from westward.model.units import MIB_PER_GIB, MICROS, MILLI

MAX_OPTIONS = 64
"""Alternatives of one job, all combinations of any_of and accelerators counted."""
MAX_DEVICES_PER_NODE = 1_024
MAX_CPUS_PER_NODE = 100_000
MAX_MEMORY_MIB = 1 << 30

_MEMORY = re.compile(r"([0-9.]+)\s*(?:([kmgtp])i?b?)?", re.IGNORECASE)
_MIB_OF_UNIT = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2, "p": 1024.0**3}
_ENGINE_OF_INFRA = {
    "ssh": "local",
    "slurm": "slurm",
    "k8s": "kubernetes",
    "kubernetes": "kubernetes",
}
"""SkyPilot's words for where a job goes → Westward's engines. An SSH node pool is bare machines,
which is what the local engine drives."""
_INFRA_REMEDY = "Write ssh/SITE, slurm/SITE, k8s/SITE, */SITE, or leave it out for any site."
_TOP_ONLY = {
    name: "Put it under `resources:` itself; it holds for every alternative."
    for name in RESOURCE_FIELDS
    if name not in OPTION_FIELDS
}


@dataclass(frozen=True, slots=True)
class _Device:
    accelerator: str | None
    devices_milli: int


@dataclass(frozen=True, slots=True)
class _Wish:
    """One alternative's fields; None = not stated at this level."""

    devices: tuple[_Device, ...] | None = None
    cpus_milli: int | None = None
    memory_mib: int | None = None
    where: tuple[str | None, str | None] | None = None
    max_cost: int | None = None


def read_options(reader: JobReader, resources: Value) -> tuple[ResourceOption, ...]:
    """All alternatives in the order written; a job without resources has one that asks nothing."""
    path = "resources"
    reader.check_names(resources, path, RESOURCE_FIELDS, RESOURCE_REFUSED)
    base = _wish(reader, resources, path)
    any_of, ordered = resources.get("any_of"), resources.get("ordered")
    if any_of is not None and ordered is not None:
        reader.fault(
            ordered.line,
            join(path, "ordered"),
            "any_of and ordered cannot stand together",
            "Keep the one you mean.",
        )
    wishes = [base]
    chosen = any_of or ordered
    if chosen is not None:
        wishes = [_over(base, wish) for wish in _alternatives(reader, chosen, path)]
    options = [option for wish in wishes for option in _expand(wish)]
    unique = tuple(dict.fromkeys(options))
    if len(unique) > MAX_OPTIONS:
        reader.fault(
            resources.line,
            path,
            f"{len(unique)} alternatives are more than {MAX_OPTIONS}",
            "Name fewer accelerators or fewer entries under any_of.",
        )
    return unique


def _alternatives(reader: JobReader, chosen: Entry, path: str) -> list[_Wish]:
    field = join(path, chosen.key)
    remedy = f"Write {chosen.key}: as a list, each entry with its own accelerators or infra."
    if chosen.value.kind != "sequence":
        reader.wrong_kind(chosen, field, "a list", remedy)
        return []
    if not chosen.value.items:
        reader.fault(chosen.line, field, "the list is empty", remedy)
    wishes = []
    for index, item in enumerate(chosen.value.items):
        place = f"{field}[{index}]"
        if item.kind != "mapping":
            reader.fault(
                item.line, place, f"a mapping is needed, but here is {item.kind_text}", remedy
            )
            continue
        reader.check_names(item, place, OPTION_FIELDS, RESOURCE_REFUSED, _TOP_ONLY)
        _one_kind(reader, item.get("accelerators"), place)
        wishes.append(_wish(reader, item, place))
    return wishes


def _one_kind(reader: JobReader, entry: Entry | None, path: str) -> None:
    """SkyPilot takes one kind in each entry of a list of alternatives."""
    if entry is not None and len(entry.value.entries or entry.value.items) > 1:
        reader.fault(
            entry.line,
            join(path, entry.key),
            "one alternative has one kind of accelerator",
            "Make an entry of each, or name the kinds beside the list.",
        )


def _wish(reader: JobReader, mapping: Value, path: str) -> _Wish:
    return _Wish(
        devices=_accelerators(reader, mapping.get("accelerators"), path),
        cpus_milli=_cpus(reader, mapping.get("cpus"), path),
        memory_mib=_memory(reader, mapping.get("memory"), path),
        where=_infra(reader, mapping.get("infra"), path),
        max_cost=_max_cost(reader, mapping.get("max_hourly_cost"), path),
    )


def _over(base: _Wish, own: _Wish) -> _Wish:
    """What the alternative states itself, else what stands beside the list."""
    return _Wish(
        devices=own.devices if own.devices is not None else base.devices,
        cpus_milli=own.cpus_milli if own.cpus_milli is not None else base.cpus_milli,
        memory_mib=own.memory_mib if own.memory_mib is not None else base.memory_mib,
        where=own.where if own.where is not None else base.where,
        max_cost=own.max_cost if own.max_cost is not None else base.max_cost,
    )


def _expand(wish: _Wish) -> list[ResourceOption]:
    site, engine = wish.where or (None, None)
    return [
        ResourceOption(
            accelerator=device.accelerator,
            devices_milli=device.devices_milli,
            cpus_milli=wish.cpus_milli or 0,
            memory_mib=wish.memory_mib or 0,
            site=site,
            engine=engine,
            max_hourly_cost_micros=wish.max_cost,
        )
        for device in (wish.devices or (_Device(None, 0),))
    ]


def _accelerators(reader: JobReader, entry: Entry | None, path: str) -> tuple[_Device, ...] | None:
    if entry is None:
        return None
    field = join(path, entry.key)
    remedy = "Write A100, A100:8, or several: {A100: 1, H100: 1}."
    value = entry.value
    if value.kind == "text":
        return _devices(reader, [(value.raw, None, entry.line)], field)
    if value.kind == "sequence" and value.items:
        wrong = [item for item in value.items if item.kind != "text"]
        for item in wrong:
            reader.fault(item.line, field, f"text is needed, but here is {item.kind_text}", remedy)
        return _devices(
            reader,
            [(item.raw, None, item.line) for item in value.items if item not in wrong],
            field,
        )
    if value.kind == "mapping" and value.entries:
        named: list[tuple[str, str | None, int]] = []
        for one in value.entries:
            if one.value.kind in ("integer", "number", "null"):
                count = None if one.value.kind == "null" else one.value.raw
                named.append((one.key, count, one.line))
            else:
                reader.wrong_kind(one, join(field, one.key), "a count", remedy)
        return _devices(reader, named, field)
    reader.wrong_kind(entry, field, "an accelerator's name", remedy)
    return None


def _devices(
    reader: JobReader, named: list[tuple[str, str | None, int]], field: str
) -> tuple[_Device, ...] | None:
    """``(name or name:count, count, line)`` → devices; a YAML set gives names with no count."""
    devices: list[_Device] = []
    for text, count, line in named:
        name, colon, own_count = text.strip().partition(":")
        if colon and count is not None:
            reader.fault(
                line, field, f"{text}: {count} states two counts", f"Write {name}: {count}."
            )
            continue
        written = own_count if colon else (count if count is not None else "1")
        number = decimal_number(written)
        if NAME.fullmatch(name) is None:
            reader.fault(
                line,
                field,
                f"{name!r} is not the name of an accelerator",
                "Write for example A100.",
            )
        elif number is None or not 0 < number <= MAX_DEVICES_PER_NODE:
            reader.fault(
                line,
                field,
                f"{written!r} is not a count of devices per node",
                f"Write {name}:1 to {name}:{MAX_DEVICES_PER_NODE}, or a share such as {name}:0.5.",
            )
        elif (number > 1 and number != int(number)) or round(number * MILLI, 6) % 1:
            reader.fault(
                line,
                field,
                f"{written} devices cannot be given: a share is of one device, in thousandths",
                f"Write a whole number, or a share below 1 such as {name}:0.5.",
            )
        else:
            devices.append(_Device(name, round(number * MILLI)))
    return tuple(devices) if len(devices) == len(named) else None


def _amount(reader: JobReader, entry: Entry, path: str, example: str) -> str | None:
    """The text of ``4``, ``"4+"``, ``16GB`` without the plus sign."""
    if entry.value.kind not in SCALARS:
        reader.wrong_kind(entry, join(path, entry.key), "an amount", f"Write for example {example}")
        return None
    return entry.value.raw.strip().removesuffix("+").strip()


def _cpus(reader: JobReader, entry: Entry | None, path: str) -> int | None:
    if entry is None or (text := _amount(reader, entry, path, "cpus: 4+")) is None:
        return None
    number = decimal_number(text)
    if number is None or not 0 < number <= MAX_CPUS_PER_NODE or number * MILLI < 1:
        reader.fault(
            entry.line,
            join(path, "cpus"),
            f"{entry.value.raw!r} is not a number of cpus per node",
            'Write for example cpus: 4 or cpus: "4+".',
        )
        return None
    return round(number * MILLI)


def _memory(reader: JobReader, entry: Entry | None, path: str) -> int | None:
    if entry is None or (text := _amount(reader, entry, path, "memory: 16+")) is None:
        return None
    match = _MEMORY.fullmatch(text)
    number = decimal_number(match[1]) if match else None
    mib = 0.0
    if match and number is not None:
        mib = number * _MIB_OF_UNIT[match[2].lower()] if match[2] else number * MIB_PER_GIB
    if not 1 <= mib <= MAX_MEMORY_MIB:
        reader.fault(
            entry.line,
            join(path, "memory"),
            f"{entry.value.raw!r} is not an amount of memory per node",
            "Write GiB as a number (16 or 16+) or with a unit (16GB, 512MB).",
        )
        return None
    return round(mib)


def _infra(
    reader: JobReader, entry: Entry | None, path: str
) -> tuple[str | None, str | None] | None:
    """→ (site, engine), each None for any."""
    if entry is None:
        return None
    field = join(path, entry.key)
    text = reader.take_text(entry, path, "ssh/qingyang")
    if text is None:
        return None
    kind, *rest = [part.strip() for part in text.strip().split("/")]
    engine = _ENGINE_OF_INFRA.get(kind.lower())
    if engine is None and kind != "*":
        problem = f"Westward cannot honour infra {text!r}: {kind!r} is not an engine of its sites"
        reader.fault(entry.line, field, problem, _INFRA_REMEDY)
        return None
    while rest and rest[-1] == "*":
        rest.pop()
    if len(rest) > 1 or (rest and NAME.fullmatch(rest[0]) is None):
        problem = f"{text!r} does not name one site"
        reader.fault(entry.line, field, problem, _INFRA_REMEDY)
        return None
    return (rest[0] if rest else None, engine)


def _max_cost(reader: JobReader, entry: Entry | None, path: str) -> int | None:
    if entry is None:
        return None
    number = decimal_number(entry.value.raw) if entry.value.kind in ("integer", "number") else None
    if number is None or not 0 < number < 1e12 or round(number * MICROS) < 1:
        reader.fault(
            entry.line,
            join(path, entry.key),
            f"a price per hour above 0 is needed, but here is {entry.value.raw or entry.value.kind_text!r}",
            "Write for example max_hourly_cost: 12.5 (in the network's currency).",
        )
        return None
    return round(number * MICROS)

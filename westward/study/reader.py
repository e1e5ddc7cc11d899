"""A study file → a ``Study``: read whole, checked whole, or refused with every fault at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from westward.formats.generate import GeneratorOptions
from westward.formats.job_fields import suggestion
from westward.formats.policy_file import read_policy
from westward.formats.sections import Faults, Section, parse_integer, read_file, read_root
from westward.formats.traces import FORMATS, TraceOptions
from westward.model.faults import InputFaults
from westward.model.network import Network
from westward.model.plan import Policy
from westward.network.loader import load_network
from westward.simulate.scale import devices_of, scale_network
from westward.study.answer import HOLE, default_answer, parse_hole
from westward.study.changes import change_network
from westward.study.measures import MEASURES, PROPERTIES, SHARE_AT
from westward.study.model import (
    AXES,
    Assumption,
    Axis,
    Breakdown,
    Generated,
    Override,
    PlotSpec,
    PolicySpec,
    Quick,
    Recorded,
    Study,
    WorkloadSpec,
)
from westward.study.read_changes import read_overrides

SCHEMA_VERSION = "1"
ASSUMPTION = "assumption"
DEFAULT_METRICS = ("cost", "paid", "wait_mean", "wait_p95", "deadlines_missed", "placed_share")
DEFAULT_SEEDS = (1, 2, 3)
CELLS_MAX = 20_000
"""A study of more cells is a mistake of its author's, not a plan."""
QUICK_SHARE = 20
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLOT_KINDS = ("levels", "differences", "line", "grid", "classes", "heat")


def read_study(
    file: Path, *, quick: bool = False, environment: Mapping[str, str] | None = None
) -> Study:
    """Read and check ``file``; paths in it count from its folder. Raises InputFaults with all
    faults of the file (those of the network folder come alone, since nothing can be checked
    against a network that is not there)."""
    faults = Faults(str(file))
    text = read_file(file, "Name a study file (YAML).")
    root = read_root(text, faults, what="study", begin="Begin with name: and question:.")
    if root is None:
        raise InputFaults(faults.found)
    study = _Reader(root, file, faults, os.environ if environment is None else environment).study(
        quick
    )
    if faults.found or study is None:
        raise InputFaults(faults.found)
    return study


class _Reader:
    def __init__(
        self, root: Section, file: Path, faults: Faults, environment: Mapping[str, str]
    ) -> None:
        self.root = root
        self.file = file
        self.faults = faults
        self.environment = environment

    def study(self, quick: bool) -> Study | None:
        root = self.root
        if root.text("schema_version", required=True) not in ("", SCHEMA_VERSION):
            root.fault("schema_version", "is not known to this program", "Known: 1.")
        sources = self._sources()
        assumptions = self._assumptions(dict(sources))
        network = self._network()
        quickly = self._quick()
        workloads, skipped = self._workloads(quickly if quick else None)
        policies = self._policies()
        breakdowns = self._breakdowns()
        self._name()
        for key in ("title", "question", "expected"):
            root.text(key, required=True)
        if network is None:
            # The rest can only be read against a network; an unknown key is one all the same.
            for key in ("overrides", "seeds", "compare", "metrics", "answer", "plots"):
                root.entry(key)
            root.done()
            return None
        if quick and quickly.devices is not None:
            network = self._scaled(network, quickly.devices)
        overrides = read_overrides(root, network)
        seeds = self._seeds()
        compare = root.choice("compare", "override" if len(overrides) > 1 else "policy", AXES)
        self._names(overrides, "overrides")
        study = Study(
            name=root.text("name"),
            title=root.text("title"),
            question=root.text("question"),
            expected=root.text("expected"),
            file=self.file.name,
            assumptions=assumptions,
            sources=sources,
            network=network,
            network_folder=self.root.text("network"),
            capacity_devices=_open_devices(network, overrides[0]),
            seeds=seeds[: quickly.seeds] if quick else seeds,
            workloads=workloads,
            skipped=skipped,
            policies=policies,
            overrides=overrides,
            metrics=self._metrics(network),
            breakdowns=breakdowns,
            compare=cast(Axis, compare),
            answer=(),
            plots=(),
            quick=quick,
        )
        study = replace(study, answer=self._answer(study), plots=self._plots(study))
        cells = len(study.workloads) * len(policies) * len(overrides) * len(study.seeds)
        if cells > CELLS_MAX:
            root.fault("", f"{cells:,} cells", f"A study has at most {CELLS_MAX:,}; split it.")
        root.done()
        return study

    # What it is

    def _name(self) -> str:
        name = self.root.text("name", required=True)
        if name and not NAME.fullmatch(name):
            self.root.fault("name", f"{name!r} is no name", "Use a-z, 0-9, - and _ only.")
        return name

    def _sources(self) -> tuple[tuple[str, str], ...]:
        section = self.root.section("sources")
        if section is None:
            return ()
        return tuple(sorted((e.key, section.text(e.key)) for e in section.value.entries))

    def _assumptions(self, sources: dict[str, str]) -> tuple[Assumption, ...]:
        found = []
        for item in self.root.sections("assumptions", required=True):
            source = item.text("source", required=True)
            for one in (part.strip() for part in source.split(";") if source):
                if one != ASSUMPTION and one not in sources:
                    item.fault(
                        "source",
                        f"{one!r} is not among the sources",
                        "Add it to sources:, or write assumption.",
                    )
            found.append(Assumption(text=item.text("text", required=True), source=source))
            item.done()
        return tuple(found)

    # The network

    def _network(self) -> Network | None:
        folder = self.root.text("network", required=True)
        as_of = self.root.text("as_of") or None
        devices = self.root.integer("devices", 0, low=1)
        if not folder:
            return None
        path = self.file.parent / folder
        if not os.path.isdir(path):  # also of a name too long to ask for
            self.root.fault(
                "network", f"there is no folder {path}", "Paths count from the study file's folder."
            )
            return None
        network = load_network(path, as_of=as_of)
        return self._scaled(network, devices) if devices else network

    def _scaled(self, network: Network, devices: int) -> Network:
        try:
            return scale_network(network, devices)
        except ValueError as error:
            self.root.fault("devices", str(error), "Choose a larger number of devices.")
            return network

    def _quick(self) -> Quick:
        section = self.root.section("quick")
        if section is None:
            return Quick(jobs=0, devices=None, seeds=2)
        devices = section.integer("devices", 0, low=1)
        quick = Quick(
            jobs=section.integer("jobs", 0, low=1),
            devices=devices or None,
            seeds=section.integer("seeds", 2, low=1),
        )
        section.done()
        return quick

    def _seeds(self) -> tuple[int, ...]:
        found = []
        for text, line in self.root.texts("seeds"):
            try:
                found.append(parse_integer(text, 0, 2**31))
            except ValueError as error:
                self.faults.add(line, "seeds", str(error), "Give whole numbers from 0.")
        if len(set(found)) != len(found):
            self.root.fault("seeds", "holds a seed twice", "Keep one of each.")
        return tuple(found) if found else DEFAULT_SEEDS

    # Workloads and policies

    def _workloads(self, quick: Quick | None) -> tuple[tuple[WorkloadSpec, ...], tuple[str, ...]]:
        found: list[WorkloadSpec] = []
        skipped: list[str] = []
        for name, section in self.root.named_sections("workloads", required=True):
            label = section.text("label", name)
            optional = section.boolean("optional", False)
            if section.has("generate") == section.has("recorded"):
                section.fault("", "needs generate or recorded", "Give one of the two.")
            source: Generated | Recorded | None = None
            generate = section.section("generate")
            if generate is not None:
                source = self._generated(generate, quick)
            if section.has("recorded"):
                source = self._recorded(section, name, optional, skipped, quick)
            section.done()
            if source is not None:
                found.append(WorkloadSpec(name=name, label=label, source=source))
        if not found and not self.faults.found:
            self.root.fault("workloads", "none is here", "; ".join(skipped) or "Give one.")
        self._names(found, "workloads")
        return tuple(found), tuple(skipped)

    def _generated(self, section: Section, quick: Quick | None) -> Generated:
        jobs = section.integer("jobs", 1, low=1, high=10**8, required=True)
        load = section.number("load", 0.8, low=1e-6, high=1000.0)
        options = _generator_options(section)
        section.done()
        if quick is not None:
            jobs = min(jobs, quick.jobs or max(1, jobs // QUICK_SHARE))
        return Generated(jobs=jobs, load=load, options=options)

    def _recorded(
        self,
        section: Section,
        name: str,
        optional: bool,
        skipped: list[str],
        quick: Quick | None,
    ) -> Recorded | None:
        written = section.text("recorded", required=True)
        kind = section.choice("format", FORMATS[0], FORMATS)
        most = section.integer("jobs", 0, low=1) or None
        processors = section.choice("processors", "allocated", ("allocated", "requested"))
        unit = section.choice("time_unit", "auto", ("auto", "hours", "seconds"))
        counted_as = section.choice("processors_as", "devices", ("devices", "cpus"))
        per_node = section.integer("devices_per_node", 1, low=1, high=1024)
        unfinished = section.choice("unfinished", "drop", ("drop", "until-end"))
        missing = [v for v in _VARIABLE.findall(written) if not self.environment.get(v)]
        text = _VARIABLE.sub(lambda m: self.environment.get(m[1]) or "", written)
        path = self.file.parent / text
        problem = ""
        if missing:
            problem = f"the variable {missing[0]} is not set"
            remedy = f"Set {missing[0]} to the folder that holds the recorded workloads."
        elif not os.path.isfile(path):
            problem = f"there is no file {path}"
            remedy = "Paths count from the study file's folder; correct it."
        if problem and optional:
            skipped.append(f"{name}: {problem}")
            return None
        if problem:
            section.fault("recorded", problem, f"{remedy} Or mark the workload optional: true.")
            return None
        if quick is not None:
            most = min(most or 10**9, quick.jobs or 2000)
        options = TraceOptions(
            processors="requested" if processors == "requested" else "allocated",
            time_unit="hours" if unit == "hours" else "seconds" if unit == "seconds" else "auto",
            processors_are_devices=counted_as == "devices",
            devices_per_node=per_node,
            unfinished="until-end" if unfinished == "until-end" else "drop",
        )
        return Recorded(path=path.resolve(), format=kind, options=options, jobs_max=most)

    def _policies(self) -> tuple[PolicySpec, ...]:
        base = Policy()
        found = []
        for name, section in self.root.named_sections("policies"):
            policy = read_policy(section, base)
            label = section.text("label", name)
            section.done()
            found.append(PolicySpec(name=name, label=label, policy=policy))
        self._names(found, "policies")
        return tuple(found) or (PolicySpec(name="westward", label="westward", policy=base),)

    def _names(self, entries: Any, key: str) -> None:
        for entry in entries:
            if not NAME.fullmatch(entry.name):
                self.root.fault(key, f"{entry.name!r} is no name", "Use a-z, 0-9, - and _ only.")

    # What is measured and told

    def _metrics(self, network: Network) -> tuple[str, ...]:
        tags = sorted({f"{key}={value}" for site in network.sites for key, value in site.tags})
        found: list[str] = []
        for text, line in self.root.texts("metrics"):
            if text.startswith(SHARE_AT + " "):
                tag = text.removeprefix(SHARE_AT + " ")
                if tag not in tags:
                    self.faults.add(line, "metrics", f"no site has {tag}", suggestion(tag, tags))
            elif text not in MEASURES:
                known = (*MEASURES, f"{SHARE_AT} TAG=VALUE")
                self.faults.add(line, "metrics", f"{text!r} is no metric", suggestion(text, known))
            if text in found:
                self.faults.add(line, "metrics", f"{text!r} stands twice", "Keep one.")
            found.append(text)
        return tuple(found) or DEFAULT_METRICS

    def _breakdowns(self) -> tuple[Breakdown, ...]:
        found = []
        for name, section in self.root.named_sections("breakdowns"):
            by = section.texts("by", required=True)
            for text, line in by:
                if text not in PROPERTIES:
                    near = suggestion(text, PROPERTIES)
                    self.faults.add(line, section.field("by"), f"{text!r} is no property", near)
            if len(by) > 2:
                section.fault("by", f"{len(by)} properties", "A breakdown has one or two.")
            tag, equals, value = section.text("homes").partition("=")
            if tag and not equals:
                section.fault("homes", "is not tag=value", "Write for example side=east.")
            found.append(
                Breakdown(
                    name=name,
                    label=section.text("label", name),
                    by=tuple(text for text, _ in by),
                    homes=(tag, value) if tag else None,
                )
            )
            section.done()
        self._names(found, "breakdowns")
        return tuple(found)

    def _answer(self, study: Study) -> tuple[str, ...]:
        if not (study.metrics and study.workloads):
            return ()
        sentences = self.root.texts("answer")
        for text, line in sentences:
            for hole in HOLE.findall(text):
                try:
                    parse_hole(hole, study)
                except ValueError as error:
                    remedy = "See 'The answer' in docs/howto/studies.md."
                    self.faults.add(line, "answer", str(error), remedy)
        return tuple(text for text, _ in sentences) or default_answer(study)

    def _plots(self, study: Study) -> tuple[PlotSpec, ...]:
        found = []
        for section in self.root.sections("plots"):
            kind = section.choice("kind", "levels", _PLOT_KINDS)
            over = section.choice("over", study.compare, AXES)
            metrics = self._some(section, "metrics", study.metrics)
            breakdown = section.text("breakdown")
            names = [b.name for b in study.breakdowns]
            if breakdown and breakdown not in names:
                section.fault("breakdown", f"no {breakdown!r}", suggestion(breakdown, names))
            if kind in ("classes", "heat") and not breakdown:
                section.fault("breakdown", "is missing", "Say which breakdown is drawn.")
            found_breakdown = next((b for b in study.breakdowns if b.name == breakdown), None)
            if kind == "heat" and found_breakdown is not None and len(found_breakdown.by) != 2:
                section.fault("breakdown", "has one property", "A heat map needs two.")
            found.append(
                PlotSpec(
                    kind=cast(Any, kind),
                    title=section.text("title", required=True),
                    caption=section.text("caption"),
                    metrics=metrics,
                    over=cast(Axis, over),
                    breakdown=breakdown or None,
                    workloads=self._some(section, "workloads", _names_of(study.workloads)),
                    policies=self._some(section, "policies", _names_of(study.policies)),
                    overrides=self._some(section, "overrides", _names_of(study.overrides)),
                )
            )
            section.done()
        return tuple(found) or _default_plots(study)

    def _some(self, section: Section, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """The names given, each one known; none given: all."""
        found = section.texts(key)
        for text, line in found:
            if text not in known:
                problem = f"{text!r} is none of the study's {key}"
                self.faults.add(line, section.field(key), problem, suggestion(text, known))
        return tuple(text for text, _ in found) or known


def _open_devices(network: Network, base: Override) -> int:
    """Devices of the pools that the base leaves open."""
    for change in base.changes:
        network = change_network(network, change)
    pools = tuple(pool for pool in network.pools if pool.status == "open")
    return devices_of(replace(network, pools=pools))


def _names_of(entries: Any) -> tuple[str, ...]:
    return tuple(entry.name for entry in entries)


def _default_plots(study: Study) -> tuple[PlotSpec, ...]:
    def plot(kind: str, title: str, caption: str) -> PlotSpec:
        return PlotSpec(
            kind=cast(Any, kind),
            title=title,
            caption=caption,
            metrics=study.metrics[:4],
            over=study.compare,
            breakdown=None,
            workloads=_names_of(study.workloads),
            policies=_names_of(study.policies),
            overrides=_names_of(study.overrides),
        )

    return (
        plot("levels", "Levels", "Mean over seeds; the bar spans the seeds."),
        plot("differences", "Differences from the base", "Paired by seed."),
    )


def _generator_options(section: Section) -> GeneratorOptions:
    """The generator's own fields: ``duration_median: 20m`` sets ``duration_median_ms``."""
    values: dict[str, Any] = {}
    for field in fields(GeneratorOptions):
        default = field.default
        name = field.name
        if name.endswith("_ms") and isinstance(default, int):
            key = name.removesuffix("_ms")
            if section.has(key):
                values[name] = section.duration(key, default)
            section.entry(key)
        elif name.endswith("_bytes") and isinstance(default, int):
            key = name.removesuffix("_bytes")
            if section.has(key):
                values[name] = section.bytes(key, default)
            section.entry(key)
        elif isinstance(default, bool):
            values[name] = section.boolean(name, default)
        elif isinstance(default, int):
            values[name] = section.integer(name, default)
        elif isinstance(default, float):
            values[name] = section.number(name, default)
        elif isinstance(default, str):
            values[name] = section.text(name, default)
    return GeneratorOptions(**values)

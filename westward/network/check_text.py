"""The check report as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter

from westward.network.check import Assumption, Basis, CheckReport, TargetResult

WIDTH = 100
NAMES_SHOWN_MAX = 6
CASES_SHOWN_MAX = 6


def render_check(report: CheckReport) -> str:
    """The whole report, ending with a newline. No colours: it is also a golden file."""
    lines = [f"{report.label} ({report.network})"]
    lines.append(
        "  "
        + ", ".join(_count(count, table) for table, count in report.components)
        + f"; {report.devices:,} devices"
    )
    facts = dict(report.facts)
    lines.append(
        f"  facts: {facts['cited']} cited, {facts['derived']} derived from cited ones, "
        f"{facts['assumption']} assumptions, {facts['blank']} blanks (not known)"
    )
    lines.append(f"  as of: {report.as_of or 'the latest date of each fact'}")
    lines.append(f"  digest: {report.digest[:16]}")
    for title, body in (
        ("TARGETS of the programme itself", _targets(report)),
        ("PHYSICS (light in fibre, great circle, 204.2 km per ms one way)", _physics(report)),
        ("ASSUMPTIONS (the author's, not facts: replace them by yours)", _assumptions(report)),
        ("NOT KNOWN (left blank; nothing is invented in their place)", _blanks(report)),
        ("SOURCES", _sources(report)),
    ):
        lines += ["", title, *body]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _targets(report: CheckReport) -> list[str]:
    if not report.targets:
        return ["  none: the folder has no targets.csv"]
    counts = Counter(result.verdict for result in report.targets)
    lines = [f"  {counts['pass']} pass, {counts['fail']} fail, {counts['unknown']} unknown"]
    for result in report.targets:
        lines.append("")
        sign = {"<=": "at most", ">=": "at least"}[result.operator]
        lines += _wrap(f"{result.verdict.upper():8}", f"{result.label} [{result.source}]")
        lines += _wrap(" " * 8, f"{sign} {result.limit:g}{_unit(result)}: {_tally(result)}")
        for verdict in ("fail", "pass"):
            shown = _cases(result, verdict)
            if shown:
                lines += _wrap(" " * 8, f"{_DID[verdict]}: {shown}")
        if result.note:
            lines += _wrap(" " * 8, result.note)
    return lines


_DID = {"fail": "misses it", "pass": "keeps it"}


def _unit(result: TargetResult) -> str:
    return "" if result.unit in ("", "ratio") else f" {result.unit}"


def _tally(result: TargetResult) -> str:
    counts = Counter(item.verdict for item in result.judged)
    parts = [f"{counts['pass']} pass, {counts['fail']} fail, {counts['unknown']} unknown"]
    why = Counter(item.basis for item in result.judged if item.verdict == "unknown")
    reasons: dict[Basis, str] = {
        "blank": "{n} not known",
        "assumption": "{n} only assumed, which proves nothing",
        "derived": "{n} only derived, which proves nothing here",
        "cited": "{n} cited, but not asked for",
    }
    told = [text.format(n=why[basis]) for basis, text in reasons.items() if why[basis]]
    if told:
        parts.append("(" + "; ".join(told) + ")")
    derived = sum(i.basis == "derived" and i.verdict != "unknown" for i in result.judged)
    if derived:
        parts.append(f"(on {_count(derived, 'derived values')}, none reported by anyone)")
    return " ".join(parts)


def _cases(result: TargetResult, verdict: str) -> str:
    """The clearest cases first: the worst failures, the narrowest passes."""
    cases = [(i.value, i) for i in result.judged if i.verdict == verdict and i.value is not None]
    worst_first = result.operator == "<="
    cases.sort(key=lambda case: (-case[0] if worst_first else case[0], case[1].name))
    limit = CASES_SHOWN_MAX if verdict == "fail" else 1
    texts = [
        f"{item.name} {value:.4g}{_unit(result)}"
        + (f" ({item.source}, {item.valid_from})" if item.basis == "cited" else "")
        for value, item in cases[:limit]
    ]
    if verdict == "pass" and len(cases) > 1:
        return f"closest {texts[0]}"
    more = len(cases) - limit
    return ", ".join(texts) + (f", and {more} more" if verdict == "fail" and more > 0 else "")


def _physics(report: CheckReport) -> list[str]:
    physics = report.physics
    lines = [f"  {physics.links_checked} links checked, none faster than light"]
    if physics.tightest_link:
        lines += _wrap(
            "  ",
            f"nearest to the limit: {physics.tightest_link}, "
            f"{physics.tightest_one_way_ms:.2f} ms one way where light needs "
            f"{physics.tightest_light_ms:.2f} ms",
        )
    if physics.links_not_checkable:
        names = _names(physics.links_not_checkable)
        lines += _wrap("  ", f"not checkable (no latency or no coordinates): {names}")
    return lines


def _assumptions(report: CheckReport) -> list[str]:
    if not report.assumptions:
        return ["  none"]
    lines = []
    for item in report.assumptions:
        lines += _wrap("  ", f"{item.table}: {', '.join(item.attributes)} of {_which(item)}")
        lines += _wrap("    ", f"because: {item.reason}")
    return lines


def _which(item: Assumption) -> str:
    if len(item.names) == item.of and item.of > 1:
        return f"all {item.of}"
    return _names(item.names)


def _blanks(report: CheckReport) -> list[str]:
    if not report.blanks:
        return ["  none"]
    lines = []
    for blank in report.blanks:
        all_of_many = len(blank.names) == blank.of and blank.of > 1
        which = f"all {blank.of}" if all_of_many else _names(blank.names)
        lines += _wrap("  ", f"{blank.table}: {blank.attribute} of {which}")
    return lines


def _sources(report: CheckReport) -> list[str]:
    if not report.sources:
        return ["  none"]
    lines = []
    for use in report.sources:
        facts = _count(use.facts, "facts") if use.facts else "in notes or older dates only"
        lines += _wrap(f"  {use.source:6}", f"{use.citation} ({facts})")
    return lines


def _count(count: int, plural: str) -> str:
    return f"{count:,} {plural.removesuffix('s') if count == 1 else plural}"


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    more = len(names) - NAMES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _wrap(lead: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * max(len(lead), 4),
        break_long_words=False,
        break_on_hyphens=False,
    )

"""One voucher file → one checked ``Rule``. Every fault of the file is found before any is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, cast

from westward.model.units import MICROS, MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from westward.model.voucher import (
    BASES,
    BLANK,
    LEVELS,
    PPM,
    SPENDS,
    STEPS,
    SUBJECTS,
    TESTS,
    Clauses,
    Condition,
    ContractTerms,
    Figure,
    Rule,
    Step,
    StepName,
    Tier,
)
from westward.network.schemas import ASSUMPTION, suggest
from westward.network.values import CellError, check_date, check_name, first_day
from westward.network.voucher_tree import Node

GRADES = ("A", "A-", "B", "C", "article", ASSUMPTION)
"""A official text or state media; A- the same on a mirror; B trade or foreign press; C weak;
article: one of the five articles alone; assumption: ours, with the reason in the note."""
AMOUNT_MOST = 10**13
"""Currency units; a hundred times the largest pot known."""
MONTHS_MOST = 1_200
_TEXTS = ("name", "label", "place", "level", "instrument", "funder", "source", "grade")
_FIGURES = (
    "cap_per_entity_year", "cap_per_claim", "cap_per_contract", "pot_per_year",
    "minimum_spend_per_year",
)  # fmt: skip
KEYS = (
    *_TEXTS, "note", "standing", "pays", "utc_offset", "valid_from", "valid_until", "base",
    "spend", "share", "up_to", "tiers", "includes", *_FIGURES, "auto_approved_device_hours",
    "entity_months", "contract", "eligible", "counts", "unrelated_party", "via_platform",
    "excludes", "order", "ceiling", "sharing", "procedure",
)  # fmt: skip
REQUIRED = (*_TEXTS, "utc_offset", "valid_from", "base", "spend", "share", "cap_per_entity_year",
            "pot_per_year")  # fmt: skip
"""Blank figures are written as blank: a key that is not there may just be forgotten."""
_MAY_BE_BLANK = ("valid_from", "spend", "share", "cap_per_entity_year", "pot_per_year")
_FIGURE_KEYS = ("value", "source", "grade", "note", "also")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_NUMBER = re.compile(r"\d{1,14}(\.\d{1,6})?")


@dataclass(slots=True)
class RuleReader:
    """Reads the top node of one file. ``sources`` None: the list of sources had faults."""

    root: Node
    currency: str
    sources: frozenset[str] | None
    top: dict[str, Node] = field(init=False, default_factory=dict)
    offset: int = field(init=False, default=0)
    source: str = field(init=False, default="")
    grade: str = field(init=False, default="")

    def read(self) -> Rule:
        """The rule; where a fault was added, with harmless stand-ins."""
        top = self.root.entries(KEYS)
        for key in REQUIRED:
            if key not in top:
                blank = " (it may stay empty)" if key in _MAY_BE_BLANK else ""
                self.root.fault(f"the key {key} is missing", f"Every rule states it{blank}.")
            elif key not in _MAY_BE_BLANK and top[key].blank:
                top[key].fault("is empty", "Every rule states it.")
        self.top = top
        self.offset = self._offset()
        self.source = self._text("source")
        self.grade = self._text("grade")
        self._provenance(top.get("source"), self.source, top.get("grade"), self.grade)
        name = self._name()
        first, until = self._day("valid_from"), self._day("valid_until", end=True)
        if first.value is not None and until.value is not None and until.value <= first.value:
            top["valid_until"].fault("lies before valid_from", "Correct one of them.")
        return Rule(
            name=name,
            label=self._text("label"),
            place=self._text("place"),
            level=self._choice("level", LEVELS, "city"),
            instrument=self._text("instrument"),
            funder=self._text("funder"),
            currency=self.currency,
            source=self.source,
            grade=self.grade,
            note=self._text("note"),
            standing=self._choice("standing", ("text", "press"), "text"),
            pays=self._choice("pays", ("price", "supplier"), "price"),
            valid_from_ms=first,
            valid_until_ms=until,
            utc_offset_minutes=self.offset,
            base=self._choice("base", BASES, "price"),
            spend=cast(Any, top["spend"].words(SPENDS) if "spend" in top else ()),
            share_ppm=self._percent(top.get("share")),
            up_to=self._flag("up_to"),
            tiers=self._tiers(),
            includes=top["includes"].words() if "includes" in top else (),
            cap_entity_year_micros=self._amount("cap_per_entity_year"),
            cap_claim_micros=self._amount("cap_per_claim"),
            cap_contract_micros=self._amount("cap_per_contract"),
            pot_year_micros=self._amount("pot_per_year"),
            min_spend_year_micros=self._amount("minimum_spend_per_year"),
            auto_device_milli_ms=self._figure(
                top.get("auto_approved_device_hours"), 1_000 * MS_PER_HOUR, AMOUNT_MOST
            ),
            entity_months=self._figure(top.get("entity_months"), 1, MONTHS_MOST),
            contract=self._contract(),
            eligible=self._clauses("eligible", "entity"),
            counts=self._clauses("counts", "line"),
            unrelated_party=self._flag("unrelated_party"),
            via_platform=self._flag("via_platform"),
            excludes=self._choice("excludes", ("any", "level"), ""),
            order=self._order(),
            ceiling_ppm=self._percent(top.get("ceiling")),
            sharing=self._choice("sharing", ("first-come", "pro-rata"), "first-come"),
            procedure=self._procedure(),
        )

    def _text(self, key: str) -> str:
        return (self.top[key].text() or "") if key in self.top else ""

    def _flag(self, key: str) -> bool:
        node = self.top.get(key)
        return node is not None and not node.blank and node.boolean()

    def _choice(self, key: str, known: tuple[str, ...], default: str) -> Any:
        text = self._text(key)
        if not text:
            return default
        if text not in known:
            self.top[key].fault(f"{text!r} is not a known {key}", suggest(text, known, key))
            return default
        return text

    def _name(self) -> str:
        text = self._text("name")
        if not text:
            return ""
        try:
            check_name(text)
        except CellError as error:
            self.top["name"].fault(error.problem, error.remedy)
            return text
        stem = self.root.file.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        if text != stem:
            self.top["name"].fault(
                f"the rule is called {text!r} and its file {stem!r}", "Give both one name."
            )
        return text

    def _offset(self) -> int:
        text = self._text("utc_offset")
        if not text:
            return 0
        match = _OFFSET.fullmatch(text)
        if match is None or int(match[2]) > 14 or int(match[3]) > 59:
            self.top["utc_offset"].fault(
                f"{text!r} is no offset from UTC", "Write it in quotes, such as '+08:00'."
            )
            return 0
        minutes = int(match[2]) * 60 + int(match[3])
        return minutes if match[1] == "+" else -minutes

    def _order(self) -> int:
        text = self._text("order")
        if not text:
            return 100
        if not text.isdigit() or len(text) > 6:
            self.top["order"].fault(f"{text!r} is no place in an order", "Write a whole number.")
            return 100
        return int(text)

    def _provenance(
        self, source_node: Node | None, source: str, grade_node: Node | None, grade: str
    ) -> None:
        for part in source.split(";") if source and source_node is not None else ():
            one = part.strip()
            if self.sources is not None and one not in self.sources and one != ASSUMPTION:
                assert source_node is not None
                remedy = suggest(one, (*sorted(self.sources), ASSUMPTION), "sources")
                source_node.fault(f"no source {one!r} in sources.yaml", remedy)
        for part in grade.split("/") if grade and grade_node is not None else ():
            if part.strip() not in GRADES:
                assert grade_node is not None
                grade_node.fault(f"{part!r} is not a grade", f"Grades: {', '.join(GRADES)}.")

    def _figure(
        self, node: Node | None, times: int, most: int, *, what: str = "a number"
    ) -> Figure:
        """A number, or ``{value, source, grade, note, also}``; in units of 1/``times``.

        Source and grade are the rule's where the figure names none.
        """
        if node is None or node.blank:
            return BLANK
        if not node.is_mapping:
            value = self._scaled(node, times, most, what)
            return Figure(value=value, source=self.source, grade=self.grade)
        keys = node.entries(_FIGURE_KEYS)
        texts = {k: (keys[k].text() or "") for k in ("source", "grade", "note") if k in keys}
        source, grade = texts.get("source", self.source), texts.get("grade", self.grade)
        self._provenance(keys.get("source"), source, keys.get("grade"), grade)
        if source == ASSUMPTION and not texts.get("note"):
            node.fault("an assumption without a reason", "Say in the note why this value.")
        if "value" not in keys:
            node.fault("has no value", "Add value: (it may stay empty, with a note).")
        value = None
        if "value" in keys and not keys["value"].blank:
            value = self._scaled(keys["value"], times, most, what)
        also = [self._scaled(n, times, most, what) for n in keys["also"].items()] if (
            "also" in keys
        ) else []  # fmt: skip
        note = texts.get("note", "")
        others = tuple(one for one in also if one is not None)
        return Figure(value=value, source=source, grade=grade, note=note, also=others)

    def _scaled(self, node: Node, times: int, most: int, what: str) -> int | None:
        text = node.text()
        if text is None:
            return None
        if _NUMBER.fullmatch(text) is None:
            remedy = "Write digits only, without unit; leave it empty if it is not known."
            node.fault(f"{text!r} is not {what}", remedy)
            return None
        number = Fraction(text)
        if not 0 < number <= most:
            node.fault(f"{text} is out of range", f"Write a value above 0 up to {most}.")
            return None
        scaled = number * times
        if scaled.denominator != 1:
            node.fault(f"{text} is too fine", f"The smallest step is 1/{times}.")
            return None
        return scaled.numerator

    def _amount(self, key: str) -> Figure:
        return self._figure(self.top.get(key), MICROS, AMOUNT_MOST, what="an amount of money")

    def _percent(self, node: Node | None) -> Figure:
        return self._figure(node, PPM // 100, 100, what="a percentage")

    def _day(self, key: str, *, end: bool = False, under: dict[str, Node] | None = None) -> Figure:
        """The first moment of a day, month or year; with ``end`` the moment after its last."""
        node = (self.top if under is None else under).get(key)
        if node is None or node.blank:
            return BLANK
        text = node.text()
        if not text:
            return BLANK
        try:
            check_date(text)
        except CellError as error:
            node.fault(error.problem, error.remedy)
            return BLANK
        day = date.fromisoformat(first_day(text))
        if end:
            day = _after(day, len(text))
        days = (day - date(1970, 1, 1)).days
        value = days * MS_PER_DAY - self.offset * MS_PER_MINUTE
        return Figure(value=value, source=self.source, grade=self.grade)

    def _contract(self) -> ContractTerms:
        node = self.top.get("contract")
        if node is None or node.blank:
            return ContractTerms()
        keys = node.entries(
            ("required", "max_months", "signed_from", "signed_until", "claims_max", "paid_first")
        )
        flags = {
            key: key in keys and not keys[key].blank and keys[key].boolean()
            for key in ("required", "paid_first")
        }
        return ContractTerms(
            required=flags["required"],
            max_months=self._figure(keys.get("max_months"), 1, MONTHS_MOST),
            signed_from_ms=self._day("signed_from", under=keys),
            signed_until_ms=self._day("signed_until", end=True, under=keys),
            claims_max=self._figure(keys.get("claims_max"), 1, 1_000_000),
            paid_first=flags["paid_first"],
        )

    def _tiers(self) -> tuple[Tier, ...]:
        tiers = []
        for node in self.top["tiers"].items() if "tiers" in self.top else ():
            keys = node.entries(("label", "share", "when"))
            for key in ("label", "share", "when"):
                if key not in keys:
                    node.fault(f"the tier has no {key}", "Give label, share and when.")
            when = self._clauses_of(keys["when"], "entity") if "when" in keys else ()
            label = (keys["label"].text() or "") if "label" in keys else ""
            tiers.append(Tier(label=label, share_ppm=self._percent(keys.get("share")), when=when))
        return tuple(tiers)

    def _clauses(self, key: str, subject: str) -> Clauses:
        node = self.top.get(key)
        return () if node is None or node.blank else self._clauses_of(node, subject)

    def _clauses_of(self, node: Node, subject: str) -> Clauses:
        """A list of conditions, each alone or as ``any: [...]``."""
        clauses = []
        for item in node.items():
            keys = item.entries()
            if "any" in keys:
                alternatives = [self._condition(one, subject) for one in keys.pop("any").items()]
                for other in keys.values():
                    other.fault("stands beside any:", "Put it into a condition of its own.")
                if not alternatives:
                    item.fault("any: without alternatives", "List at least one condition.")
            else:
                alternatives = [self._condition(item, subject)]
            clauses.append(tuple(one for one in alternatives if one is not None))
        return tuple(clause for clause in clauses if clause)

    def _condition(self, node: Node, subject: str) -> Condition | None:
        keys = node.entries(("of", "fact", *TESTS))
        tests = [key for key in keys if key in TESTS]
        fact = (keys["fact"].text() or "") if "fact" in keys else ""
        if not fact or len(tests) != 1:
            remedy = f"Write {{fact: NAME, TEST: VALUE}}; tests: {', '.join(TESTS)}."
            node.fault("a condition names one fact and one test", remedy)
            return None
        of = (keys["of"].text() or "") if "of" in keys else subject
        if of not in SUBJECTS:
            keys["of"].fault(f"{of!r} has no facts", suggest(of, SUBJECTS, "subjects"))
            return None
        test, value_node = tests[0], keys[tests[0]]
        value: bool | int | str | tuple[str, ...] | None
        if test == "one_of":
            value = value_node.words() or None
            if value is None:
                value_node.fault("names no value", "List at least one.")
        else:
            value = value_node.plain()
            if test != "is" and (type(value) is not int or value < 0):
                value_node.fault("must be a whole number", "Such as 3.")
                return None
        if value is None:
            return None
        return Condition(subject=cast(Any, of), fact=fact, test=cast(Any, test), value=value)

    def _procedure(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        last = -1
        for node in self.top["procedure"].items() if "procedure" in self.top else ():
            keys = node.entries(("step", "evidence"))
            name = (keys["step"].text() or "") if "step" in keys else ""
            if name not in STEPS:
                node.fault(f"{name!r} is no step", f"Steps, in order: {', '.join(STEPS)}.")
                continue
            if STEPS.index(name) <= last:
                node.fault(f"{name} stands too late", f"The order is {', '.join(STEPS)}.")
            last = max(last, STEPS.index(name))
            evidence = keys["evidence"].words() if "evidence" in keys else ()
            steps.append(Step(name=cast(StepName, name), evidence=evidence))
        if steps and "use" not in [step.name for step in steps]:
            self.top["procedure"].fault("has no step use", "Add - step: use where money is spent.")
        return tuple(steps)


def _after(day: date, length: int) -> date:
    """The day after the year (4 letters), month (7) or day (10) that begins with ``day``."""
    if length == 4:
        return date(day.year + 1, 1, 1)
    if length == 7:
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return day + timedelta(days=1)

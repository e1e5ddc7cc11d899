"""A folder of voucher rules: ``sources.yaml`` and one file a rule, ``NAME.yaml``.

A network keeps it as ``vouchers/`` beside its tables. All faults of all files are told at once;
a folder with faults gives nothing. The format is in docs/howto/vouchers.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from westward.model.faults import Fault, InputFaults
from westward.model.voucher import Rule
from westward.network.folder import MANIFEST
from westward.network.manifest import read_manifest
from westward.network.schemas import ASSUMPTION, suggest
from westward.network.voucher_rule import RuleReader
from westward.network.voucher_tree import Node, read_tree

VOUCHERS = "vouchers"
SOURCES = "sources.yaml"
RULES_MOST = 1_000
RULE_BYTES_MOST = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherFolder:
    """``rules`` in order of payment. ``sources``: id → citation."""

    currency: str
    rules: tuple[Rule, ...]
    sources: Mapping[str, str]

    def rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.name == name), None)


def load_vouchers(folder: Path) -> VoucherFolder | None:
    """The rules of a network folder, or of a folder of rule files itself.

    None for a network without vouchers. Raises InputFaults with every fault of every file.
    """
    network = folder / MANIFEST
    if not os.path.isfile(network):
        return read_voucher_folder(folder)
    inner = folder / VOUCHERS
    if not inner.exists():
        return None
    try:
        manifest = read_manifest(network.read_text("utf-8-sig"), [])
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(MANIFEST, None, "", f"cannot be read ({error})", "Save it as UTF-8 text.")
        raise InputFaults([fault]) from None
    found = read_voucher_folder(inner)
    if manifest.currency and manifest.currency != found.currency:
        problem = f"the vouchers are in {found.currency}, the network in {manifest.currency}"
        fault = Fault(f"{VOUCHERS}/{SOURCES}", None, "currency", problem, "Use one currency.")
        raise InputFaults([fault])
    return found


def read_voucher_folder(folder: Path) -> VoucherFolder:
    """The rules in ``folder``. Raises InputFaults with every fault of every file."""
    faults: list[Fault] = []
    texts = _texts(folder, faults)
    currency, sources = _sources(texts.pop(SOURCES, None), faults)
    rules: list[Rule] = []
    for file, text in texts.items():
        root = read_tree(file, text, faults)
        if root is not None:
            known = None if sources is None else frozenset(sources)
            rules.append(RuleReader(root, currency, known).read())
    _check_includes(rules, faults)
    if faults:
        raise InputFaults(faults)
    ordered = tuple(sorted(rules, key=lambda rule: (rule.order, rule.name)))
    return VoucherFolder(currency=currency, rules=ordered, sources=sources or {})


def check_voucher_file(path: Path) -> Rule:
    """One rule file, with the ``sources.yaml`` beside it. Raises InputFaults."""
    faults: list[Fault] = []
    if not os.path.isfile(path):  # also of a name too long to ask for
        raise InputFaults([Fault(str(path), None, "", "is not a file", "Give a rule's file.")])
    text = _text(path, path.name, faults)
    beside = path.parent / SOURCES
    source_text = _text(beside, SOURCES, faults) if beside.is_file() else None
    currency, sources = _sources(source_text, faults)
    root = None if text is None else read_tree(path.name, text, faults)
    rule = None
    if root is not None:
        known = None if sources is None else frozenset(sources)
        rule = RuleReader(root, currency, known).read()
    if faults or rule is None:
        raise InputFaults(faults)
    return rule


def _texts(folder: Path, faults: list[Fault]) -> dict[str, str]:
    if not os.path.isdir(folder):
        remedy = "Give a network folder with vouchers/, or a folder of rule files."
        raise InputFaults([Fault(str(folder), None, "", "is not a folder", remedy)])
    found: dict[str, str] = {}
    paths = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.suffix.lower() != ".md"
    ]
    if len(paths) > RULES_MOST:
        problem = f"{len(paths)} files; the limit RULES_MOST is {RULES_MOST}"
        raise InputFaults([Fault(folder.name, None, "", problem, "Split the folder.")])
    for path in paths:
        if path.suffix != ".yaml":
            remedy = "Rules are NAME.yaml; move anything else away."
            faults.append(Fault(path.name, None, "", "not a file of a voucher folder", remedy))
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            problem = "a symbolic link that leads out of the folder"
            faults.append(Fault(path.name, None, "", problem, "Copy the file into the folder."))
            continue
        text = _text(path, path.name, faults)
        if text is not None:
            found[path.name] = text
    return found


def _text(path: Path, file: str, faults: list[Fault]) -> str | None:
    try:
        if path.stat().st_size > RULE_BYTES_MOST:
            problem = f"larger than RULE_BYTES_MOST, {RULE_BYTES_MOST} bytes"
            faults.append(Fault(file, None, "", problem, "Shorten its notes."))
            return None
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        faults.append(Fault(file, None, "", "not UTF-8 text", "Save the file as UTF-8."))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        faults.append(Fault(file, None, "", problem, "Check the file and its permissions."))
    return None


def _sources(text: str | None, faults: list[Fault]) -> tuple[str, dict[str, str] | None]:
    """Currency and sources. None for sources that cannot be judged."""
    if text is None:
        if not any(fault.file == SOURCES for fault in faults):
            remedy = "Add it with currency: and sources: (id: citation)."
            faults.append(Fault(SOURCES, None, "", "the file is missing", remedy))
        return "", None
    root = read_tree(SOURCES, text, faults)
    if root is None:
        return "", None
    top = root.entries(("currency", "sources"))
    currency = (top["currency"].text() or "") if "currency" in top else ""
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        at = top.get("currency", root)
        at.fault(f"{currency!r} is not a currency code", "Write three capital letters, as CNY.")
        currency = ""
    if "sources" not in top:
        root.fault("the key sources is missing", "List id: citation, indented by two.")
        return currency, None
    return currency, _citations(top["sources"])


def _citations(node: Node) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in node.entries().items():
        text = value.text() or ""
        if key == ASSUMPTION or ";" in key:
            value.fault("cannot be a source id", "Choose an id without ; other than assumption.")
        elif not text:
            value.fault("the source has no citation", "Say who states it and where.")
        found[key] = text
    return found


def _check_includes(rules: Sequence[Rule], faults: list[Fault]) -> None:
    """Rules counted within others exist, and none is within itself."""
    named = {rule.name: rule for rule in rules}
    for rule in rules:
        file = f"{rule.name}.yaml"
        for name in rule.includes:
            if name not in named:
                remedy = suggest(name, named, "rules")
                faults.append(Fault(file, None, "includes", f"no rule named {name!r}", remedy))
        seen: set[str] = set()
        reach = list(rule.includes)
        while reach:
            name = reach.pop()
            if name in seen:
                continue
            seen.add(name)
            reach += named[name].includes if name in named else ()
        if rule.name in seen:
            problem = "the rule is counted within itself"
            faults.append(Fault(file, None, "includes", problem, "Break the circle."))

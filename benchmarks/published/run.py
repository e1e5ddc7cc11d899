"""Every published table of this folder, ours beside theirs. Writes benchmarks/PUBLISHED.md.

From the project's root: ``python -m benchmarks.published.run`` (all), or with names of modules
(``rlscheduler easy_logs``) to print those only and write nothing.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import platform
import time
from pathlib import Path
from types import ModuleType

from benchmarks.published.table import ROOT, Row, as_markdown, as_text, summary

OUTPUT = ROOT / "benchmarks" / "PUBLISHED.md"
HEAD = """# Published tables, reproduced

What others published, and what Westward's code gives in the same setting. Made by
`python -m benchmarks.published.run` from the project's root; one table alone:
`python -m benchmarks.published.NAME`. The recorded workloads are read from the folder that
`WESTWARD_SHARED` names (default: `shared` beside the project).

Verdicts: **same**, equal in every digit shown; **within**, inside the stated tolerance;
**reached**, at or above a mark; **DIFFERS**; **shown**, for comparison, without a verdict.
Differences are ours less published.
"""


def modules() -> list[ModuleType]:
    """The modules of this folder that have ``rows()``, by name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    others = {"__init__", "run", "table", "swf_columns"}
    found = [
        importlib.import_module(f"benchmarks.published.{name}")
        for name in names
        if name not in others
    ]
    return [module for module in found if hasattr(module, "rows")]


def section(module: ModuleType, rows: list[Row], seconds: float) -> str:
    """A module's text, its tables, and the command."""
    name = module.__name__.rsplit(".", 1)[-1]
    title, _, text = (inspect.getdoc(module) or name).partition("\n")
    about = getattr(module, "ABOUT", "")
    command = f"`python -m benchmarks.published.{name}` ({seconds:.0f} s of CPU here)"
    parts = [f"## {title}", text.strip(), about.strip(), f"{command}: {summary(rows)}."]
    return "\n\n".join([*(part for part in parts if part), as_markdown(rows)])


def main() -> None:
    """Run, print, and write the page if nothing was left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="modules to run (default: all, and write)")
    chosen = parser.parse_args().names
    parts, everything = [], []
    for module in modules():
        if chosen and module.__name__.rsplit(".", 1)[-1] not in chosen:
            continue
        began = time.process_time()
        rows = module.rows()
        print(as_text(rows), flush=True)
        parts.append(section(module, rows, time.process_time() - began))
        everything += rows
    print(summary(everything))
    if not chosen:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        head = f"{HEAD}\n{summary(everything)} ({machine}).\n"
        OUTPUT.write_text("\n".join([head, *parts]).rstrip() + "\n")
        print(f"written: {OUTPUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

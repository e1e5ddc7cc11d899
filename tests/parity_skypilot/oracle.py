"""Asks the ``skypilot`` package what it makes of each file of the corpus; prints JSON.

Run by ``make test-parity-skypilot`` in an environment of its own, in the corpus folder. Nothing of
Westward is imported here, and nothing of SkyPilot anywhere else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import sky


def ask(path: Path) -> dict[str, Any]:
    try:
        task = sky.Task.from_yaml(path.name)
    except Exception as error:  # whatever it raises is a refusal
        return {"refused": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:200]}
    ordered = isinstance(task.resources, list)
    options = [
        {
            "accelerators": dict(one.accelerators) if one.accelerators else None,
            "cpus": one.cpus,
            "memory": one.memory,
            "infra": one.infra.to_str() if one.infra is not None else None,
            "priority": one.priority,
        }
        for one in task.resources
    ]
    if not ordered:
        options.sort(key=lambda one: json.dumps(one, sort_keys=True))
    return {
        "nodes": task.num_nodes,
        "ordered": ordered,
        "options": options,
        "name": task.name,
        "envs": dict(task.envs),
        "run": task.run,
        "setup": task.setup,
    }


def main() -> None:
    answers = {path.stem: ask(path) for path in sorted(Path().glob("*.yaml"))}
    json.dump(
        {"skypilot": sky.__version__, "answers": answers}, sys.stdout, indent=1, sort_keys=True
    )
    print()


if __name__ == "__main__":
    main()

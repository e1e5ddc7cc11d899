"""The documents of GA4GH TES 1.1 that a client may send, and how their form is checked.

Names and meanings are the specification's (ga4gh/task-execution-schemas 1.1.0). What the server
adds (``id``, ``state``, ``logs``, ``creation_time``) is read-only there: taken and left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from westward.formats.job_fields import suggestion
from westward.model.faults import Fault, InputFaults

FILE = "task"
"""What faults call a document that came without a file."""
READ_ONLY = ("id", "state", "logs", "creation_time")
CONTENT_MOST_CHARS = 256 * 1024
"""Of one input's ``content``; the specification asks for 128 KiB at least."""

FileType = Literal["FILE", "DIRECTORY"]
View = Literal["MINIMAL", "BASIC", "FULL"]
State = Literal[
    "UNKNOWN",
    "QUEUED",
    "INITIALIZING",
    "RUNNING",
    "PAUSED",
    "COMPLETE",
    "EXECUTOR_ERROR",
    "SYSTEM_ERROR",
    "CANCELED",
    "PREEMPTED",
    "CANCELING",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TesInput(_Part):
    name: str | None = None
    description: str | None = None
    url: str | None = None
    path: str
    type: FileType = "FILE"
    content: Annotated[str | None, Field(max_length=CONTENT_MOST_CHARS)] = None
    streamable: bool | None = None


class TesOutput(_Part):
    name: str | None = None
    description: str | None = None
    url: str
    path: str
    path_prefix: str | None = None
    type: FileType = "FILE"


class TesExecutor(_Part):
    image: str
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    env: dict[str, str] | None = None
    ignore_error: bool | None = None


class TesResources(_Part):
    cpu_cores: Annotated[int | None, Field(ge=1, le=100_000)] = None
    preemptible: bool | None = None
    ram_gb: Annotated[float | None, Field(gt=0, le=1_000_000)] = None
    disk_gb: Annotated[float | None, Field(ge=0)] = None
    zones: tuple[str, ...] | None = None
    backend_parameters: dict[str, str] | None = None
    backend_parameters_strict: bool | None = None


class TesTask(_Part):
    name: str | None = None
    description: str | None = None
    inputs: tuple[TesInput, ...] | None = None
    outputs: tuple[TesOutput, ...] | None = None
    resources: TesResources | None = None
    executors: Annotated[tuple[TesExecutor, ...], Field(min_length=1, max_length=100)]
    volumes: tuple[str, ...] | None = None
    tags: dict[str, str] | None = None


_KNOWN: dict[str, type[BaseModel]] = {
    "inputs": TesInput,
    "outputs": TesOutput,
    "executors": TesExecutor,
    "resources": TesResources,
}


def read_document(body: object) -> TesTask:
    """The task in a decoded JSON body. Raises InputFaults with every fault of its form."""
    if not isinstance(body, Mapping):
        problem = "the body is not a JSON object"
        raise InputFaults([Fault(FILE, None, "", problem, "Send a tesTask.")])
    given = {key: value for key, value in body.items() if key not in READ_ONLY}
    try:
        # Through JSON: in strict mode Python lists are not taken for tuples.
        return TesTask.model_validate_json(_json(given))
    except ValidationError as error:
        raise InputFaults([_fault(one) for one in error.errors()]) from None
    except RecursionError:
        problem = "the body is nested too deeply"
        raise InputFaults([Fault(FILE, None, "", problem, "Send a tesTask.")]) from None


def _json(given: Mapping[str, Any]) -> str:
    return json.dumps(given)


def _fault(error: Any) -> Fault:
    place = error["loc"]
    if error["type"] == "extra_forbidden":
        model = _KNOWN.get(str(place[0]), TesTask) if len(place) > 1 else TesTask
        problem = f"unknown field {place[-1]!r}"
        return Fault(
            FILE, None, field_of(place), problem, suggestion(str(place[-1]), model.model_fields)
        )
    if error["type"] == "missing":
        return Fault(FILE, None, field_of(place), "it is needed", "Add it.")
    problem = str(error["msg"]).replace("Tuple", "List")
    return Fault(
        FILE, None, field_of(place), problem[:1].lower() + problem[1:], "Correct the value."
    )


def field_of(place: tuple[int | str, ...]) -> str:
    """``("executors", 0, "image")`` → ``executors[0].image``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text

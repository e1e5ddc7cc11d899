"""Writes the SDK from the server's own OpenAPI document: ``python scripts/generate_sdk.py``.

``westward/sdk/_generated.py``: the types of every answer and one method a route, blocking and
asynchronous. ``westward/sdk/sync.py``: the asynchronous client without ``async``. Both are checked
in; a test holds them to what this writes.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from westward.server.openapi import user_document

ROOT = Path(__file__).resolve().parents[1]
SDK = ROOT / "westward" / "sdk"
Json = dict[str, Any]

HEAD = '''"""Made by ``scripts/generate_sdk.py`` from the server's OpenAPI document; do not edit.

The types of all answers, and one method a route.
"""

# mypy: disable-error-code="no-any-return"
# What a call answers is JSON; each method's signature says which type the server promises.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict
from urllib.parse import quote

Json = dict[str, Any]
Call: TypeAlias = Callable[[str, str, Json, Json | None], Any]
"""(method, path, query, body) → the decoded answer."""
AsyncCall: TypeAlias = Callable[[str, str, Json, Json | None], Awaitable[Any]]
'''


def type_of(schema: Json) -> str:
    """A JSON schema as a Python annotation."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{type_of(schema.get('items', {}))}]"
    if kind == "object":
        inner = schema.get("additionalProperties", {})
        return f"dict[str, {type_of(inner) if isinstance(inner, dict) else 'Any'}]"
    return {
        "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
    }.get(str(kind), "Any")  # fmt: skip


def written_type(name: str, schema: Json) -> list[str]:
    if "enum" in schema:
        return ["", f"{name}: TypeAlias = {type_of(schema)}"]
    lines = ["", "", f"class {name}(TypedDict):"]
    if schema.get("description"):
        lines += [f'    """{schema["description"]}"""', ""]
    needed = set(schema.get("required", ()))
    for field, own in schema.get("properties", {}).items():
        annotation = type_of(own)
        if field not in needed:
            annotation = f"NotRequired[{annotation}]"
        lines.append(f"    {field}: {annotation}")
    return lines


def parameters(document: Json, operation: Json) -> tuple[list[str], list[Json], list[Json]]:
    """(signature, query parameters, body properties as ``{name, …schema}``)."""
    query = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    body: list[Json] = []
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        named = [content["schema"], *content["schema"].get("anyOf", ())]  # a body may be left out
        name = next(one["$ref"] for one in named if "$ref" in one).rpartition("/")[2]
        schema = document["components"]["schemas"][name]
        needed = schema.get("required", ())
        for field, own in schema["properties"].items():
            body.append({"name": field, "required": field in needed, "schema": own})
    path = [one for one in operation.get("parameters", ()) if one["in"] == "path"]
    signature = [f"{one['name']}: str" for one in path]
    options = sorted([*query, *body], key=lambda one: not one.get("required", False))
    if options:
        signature.append("*")
    for one in options:
        annotation = type_of(one["schema"])
        default = "" if one.get("required") else f" = {one['schema'].get('default')!r}"
        signature.append(f"{one['name']}: {annotation}{default}")
    return signature, query, body


def written_call(document: Json, path: str, method: str, operation: Json, wait: bool) -> list[str]:
    name = re.sub(r"_(v1|healthz)_.*|_v1$", "", operation["operationId"])
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} cannot be a method; rename the route's function")
    signature, query, body = parameters(document, operation)
    good = next(status for status in operation["responses"] if status.startswith("2"))
    answer = type_of(operation["responses"][good]["content"]["application/json"]["schema"])
    start, await_ = ("async def", "await ") if wait else ("def", "")
    place = re.sub(r"\{(\w+)\}", r"{quote(\1, safe='')}", path)
    place = f'f"{place}"' if "{" in place else f'"{place}"'
    sent = ", ".join(f'"{one["name"]}": {one["name"]}' for one in query)
    given = "{" + ", ".join(f'"{one["name"]}": {one["name"]}' for one in body) + "}"
    given = given if body else ("None" if method == "get" else "{}")
    text = operation.get("description") or operation.get("summary", "")
    told = "\n".join(f"        {line}".rstrip() for line in text.splitlines()).strip()
    told += "\n        " if "\n" in told else ""
    return [
        "",
        f"    {start} {name}({', '.join(['self', *signature])}) -> {answer}:",
        f'        """{told}"""',
        f'        return {await_}self._call("{method.upper()}", {place}, {{{sent}}}, {given})',
    ]


def generated(document: Json) -> str:
    lines = [HEAD]
    schemas: Json = document["components"]["schemas"]
    for name in sorted(schemas, key=lambda one: ("enum" not in schemas[one], one)):
        lines += written_type(name, schemas[name])
    for wait in (False, True):
        kind, call = ("AsyncApi", "AsyncCall") if wait else ("Api", "Call")
        lines += ["", "", f"class {kind}:", '    """One method a route; ``call`` sends."""', ""]
        lines += [f"    def __init__(self, call: {call}) -> None:", "        self._call = call"]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                lines += written_call(document, path, method, operation, wait)
    return "\n".join(lines) + "\n"


_SYNC = (
    ("async def", "def"), ("async for", "for"), ("async with", "with"), ("await ", ""),
    ("AsyncIterator", "Iterator"), ("AsyncClient", "Client"), ("AsyncApi", "Api"),
    ("AsyncTransport", "Transport"), ("__aenter__", "__enter__"), ("__aexit__", "__exit__"),
    ("asyncio.sleep", "time.sleep"), ("import asyncio\n", ""), ("import time\n", "import time\n"),
)  # fmt: skip


def synchronous(text: str) -> str:
    """The asynchronous client's text as the blocking one's."""
    for old, new in _SYNC:
        text = text.replace(old, new)
    head = '"""Made by ``scripts/generate_sdk.py`` from ``aio.py``; do not edit.\n\nThe blocking client.\n"""'
    return head + text[text.index('"""', 3) + 3 :]


def formatted(text: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    for arguments in (
        ["check", "--fix", "--unsafe-fixes", "-q", "--select", "I,F401,UP028"],
        ["format", "-q"],
    ):
        done = subprocess.run(
            [ruff, *arguments, "--config", str(ROOT / "pyproject.toml"),
             "--stdin-filename", str(SDK / "made.py"), "-"],
            input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        text = done.stdout
    return text


def files() -> dict[Path, str]:
    """What is to be written where."""
    aio = (SDK / "aio.py").read_text(encoding="utf-8")
    return {
        SDK / "_generated.py": formatted(generated(user_document())),
        SDK / "sync.py": formatted(synchronous(aio)),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))

"""Packs what an engine's node needs to run one job under our supervisor: a few modules, no more.

The node needs Python 3.9 or newer and bash; nothing has to be installed there. Every run's start
waits for the unpacking, and most of that was compiling the modules (35 of 70 ms): so they go along
compiled as well. A Python that would write the same bytecode runs that, out of memory; any other
writes the texts into the run's folder and compiles them. Nothing stays at the node: what a job
could change there, the next job would run.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
import marshal
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = "westward.agent.engines"
MODULES = ("processes", "staging", "supervisor", "lodger")
AT_ONCE = ("processes", "supervisor", "lodger")
"""Loaded at every start."""
MOST_BYTES = 110_000
"""Of kit and order together: Linux takes at most 128 KiB for one environment variable, and Ray puts
all of a job's variables into one."""
MARSHAL_VERSION = 2
"""Which every Python 3 reads, for the kit itself; the compiled modules in it are bytes."""
BOOTSTRAP = (
    "import binascii,marshal,os,zlib; "
    'k=marshal.loads(zlib.decompress(binascii.a2b_base64(os.environ["WESTWARD_KIT"]))); '
    'exec(k["start"])'
)
START = """
import os, sys

folder = os.path.join(os.environ.get("TMPDIR") or "/tmp", "westward-" + os.urandom(8).hex())
os.mkdir(folder, 0o700)


class Sent:
    def find_spec(name, path=None, target=None):
        package, _, module = name.rpartition(".")
        sent = package == k["package"] and module in k["texts"]
        if sent or (k["package"] + ".").startswith(name + "."):
            return type(sys.__spec__)(name, Sent, is_package=not sent)

    def create_module(spec):
        return None

    def exec_module(module):
        name = module.__name__.rpartition(".")[2]
        if name in k["codes"]:
            exec(marshal.loads(k["codes"][name]), module.__dict__)
        elif name in k["texts"]:
            exec(compile(k["texts"][name], name + ".py", "exec"), module.__dict__)


def unpack():
    place = os.path.join(folder, *k["package"].split("."))
    os.makedirs(place)
    for name, text in k["texts"].items():
        with open(os.path.join(place, name + ".py"), "w", encoding="utf-8") as file:
            file.write(text)
    sys.path.insert(0, folder)


from _frozen_importlib_external import MAGIC_NUMBER

if k["codes"] and MAGIC_NUMBER == k["magic"]:
    sys.meta_path.insert(0, Sent)
else:
    unpack()
from westward.agent.engines.lodger import main

sys.exit(main(folder))
"""
"""Of a node's Python, within BOOTSTRAP: ``k`` is the kit."""


@functools.cache
def packed_kit(*, compiled: bool = True) -> str:
    """The modules as texts and ``compiled``, packed, in base64: the same text for the same code."""
    folder = Path(__file__).parent
    texts = {name: (folder / f"{name}.py").read_text("utf-8") for name in MODULES}
    codes = {
        name: marshal.dumps(
            compile(texts[name], f"{name}.py", "exec", dont_inherit=True, optimize=2)
        )
        for name in AT_ONCE
        if compiled
    }
    kit = {
        "start": START,
        "package": PACKAGE,
        "magic": importlib.util.MAGIC_NUMBER,
        "codes": codes,
        "texts": texts,
    }
    return base64.b64encode(zlib.compress(marshal.dumps(kit, MARSHAL_VERSION), 9)).decode()


def packed_order(order: Mapping[str, Any]) -> str:
    """ValueError when it cannot be handed to a process, not even with the shortest kit."""
    text = base64.b64encode(zlib.compress(json.dumps(order).encode(), 9)).decode()
    most = MOST_BYTES - len(packed_kit(compiled=False))
    if len(text) > most:
        raise ValueError(
            f"the job's run, setup and envs take {len(text)} bytes packed; at most {most} "
            "go to this engine's node. Let the job fetch its long texts"
        )
    return text


def kit_beside(order: str) -> str:
    """The kit that goes with a packed order: compiled, if there is room for it."""
    kit = packed_kit()
    return kit if len(kit) + len(order) <= MOST_BYTES else packed_kit(compiled=False)

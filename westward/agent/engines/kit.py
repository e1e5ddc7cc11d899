"""Packs what an engine's node needs to run one job under our supervisor: a few modules, no more.

The node needs Python 3.9 or newer and bash; nothing has to be installed there. Unpacking uses what
Python has loaded at its start, or loads in a millisecond: every run's start waits for it.
"""

from __future__ import annotations

import base64
import functools
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODULES = ("processes", "staging", "supervisor", "lodger")
MOST_BYTES = 120_000
"""Linux takes at most 128 KiB for one environment variable."""
BOOTSTRAP = (
    "import binascii,json,os,sys,zlib; "
    'd=os.path.join(os.environ.get("TMPDIR") or "/tmp","westward-"+os.urandom(8).hex()); '
    'os.mkdir(d,0o700); p=d+"/westward/agent/engines"; os.makedirs(p); '
    'k=json.loads(zlib.decompress(binascii.a2b_base64(os.environ["WESTWARD_KIT"]))); '
    '[open(p+"/"+n,"w",encoding="utf-8").write(t) for n,t in k.items()]; '
    "sys.path.insert(0,d); from westward.agent.engines.lodger import main; sys.exit(main(d))"
)


@functools.cache
def packed_kit() -> str:
    """The modules by file name, packed, in base64: the same text for the same code."""
    folder = Path(__file__).parent
    texts = {f"{name}.py": (folder / f"{name}.py").read_text("utf-8") for name in MODULES}
    return base64.b64encode(zlib.compress(json.dumps(texts).encode(), 9)).decode()


def packed_order(order: Mapping[str, Any]) -> str:
    """ValueError when it cannot be handed to a process as one variable."""
    text = base64.b64encode(zlib.compress(json.dumps(order).encode(), 9)).decode()
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"the job's run, setup and envs take {len(text)} bytes packed; at most {MOST_BYTES} "
            "go to this engine's node. Let the job fetch its long texts"
        )
    return text

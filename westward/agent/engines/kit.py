"""Packs what an engine's node needs to run one job under our supervisor: a few modules, no more.

The node needs Python 3.9 or newer and bash; nothing has to be installed there.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODULES = ("processes", "staging", "supervisor", "lodger")
MOST_BYTES = 120_000
"""Linux takes at most 128 KiB for one environment variable."""
BOOTSTRAP = (
    "import base64,io,os,sys,tempfile,zipfile; "
    'd=tempfile.mkdtemp(prefix="westward-"); '
    'zipfile.ZipFile(io.BytesIO(base64.b64decode(os.environ["WESTWARD_KIT"]))).extractall(d); '
    "sys.path.insert(0,d); from westward.agent.engines.lodger import main; sys.exit(main(d))"
)


@functools.cache
def packed_kit() -> str:
    """The modules as a zip file in base64: the same text for the same code."""
    folder = Path(__file__).parent
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as kit:
        for name in MODULES:
            entry = zipfile.ZipInfo(f"westward/agent/engines/{name}.py")
            entry.compress_type = zipfile.ZIP_DEFLATED
            kit.writestr(entry, (folder / f"{name}.py").read_bytes())
    return base64.b64encode(out.getvalue()).decode()


def packed_order(order: Mapping[str, Any]) -> str:
    """ValueError when it cannot be handed to a process as one variable."""
    text = base64.b64encode(zlib.compress(json.dumps(order).encode(), 9)).decode()
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"the job's run, setup and envs take {len(text)} bytes packed; at most {MOST_BYTES} "
            "go to this engine's node. Let the job fetch its long texts"
        )
    return text

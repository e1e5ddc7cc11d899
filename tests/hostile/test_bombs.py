"""Small inputs that stand for huge ones: each is read in a process that may have little memory.

The child's private memory (RLIMIT_DATA) and processor time are limited; it ends with 0 where the
reader answered or refused as it promises. Anything else, the limits' MemoryError or signal above
all, is a finding.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.conftest import FUZZ_HOME

ROOT = Path(__file__).parents[2]
MEMORY_BYTES = 1_600 * 2**20
"""Our own modules with their libraries (numpy, polars and their threads) take up to half of it."""
CPU_S = 60
CHILD = """
import sys
from pathlib import Path
from tests.hostile.bomb_readers import read
sys.exit(read(sys.argv[1], Path(sys.argv[2])))
"""


def yaml_aliases() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return ("\n".join(lines) + "\nrun: x\n").encode()


def yaml_self() -> bytes:
    return b"run: x\na: &a [*a, *a]\nb: &b {c: *b}\n"


def yaml_deep() -> bytes:
    return b"run: " + b"[" * 100_000


def yaml_flow_maps() -> bytes:
    return b"run: " + b"{a: " * 50_000


def yaml_dashes() -> bytes:
    return b"run:\n" + b"- " * 200_000 + b"x\n"


def yaml_keys() -> bytes:
    return "".join(f"k{i}: 1\n" for i in range(90_000)).encode()


def yaml_documents() -> bytes:
    return b"---\nrun: x\n" * 60_000


def yaml_long_line() -> bytes:
    return b"run: " + b"x" * 30_000_000


def yaml_huge_number() -> bytes:
    return b"run: x\nnum_nodes: " + b"9" * 500_000 + b"\n"


def json_deep() -> bytes:
    return b'{"executors":' + b"[" * 1_000_000


def json_number() -> bytes:
    return b'{"name": ' + b"9" * 3_000_000 + b"}"


def json_wide() -> bytes:
    return json.dumps({"name": "x", "tags": {str(i): "x" for i in range(200_000)}}).encode()


def sbatch_lines() -> bytes:
    return b"#!/bin/sh\n" + b"#SBATCH --comment=x\n" * 40_000 + b"true\n"


def sbatch_array() -> bytes:
    return b"#!/bin/sh\n#SBATCH --array=0-999999999999\n#SBATCH -t 5\ntrue\n"


def sbatch_quotes() -> bytes:
    return b"#!/bin/sh\n#SBATCH --export=" + b"A=1," * 200_000 + b"\ntrue\n"


def csv_columns() -> bytes:
    return b",".join(b"c%d" % i for i in range(1_000_000)) + b"\n" + b"1," * 999_999 + b"1\n"


def csv_quote() -> bytes:
    return b'name,zone\n"' + b"x" * 20_000_000


def csv_rows() -> bytes:
    return b"name,zone\n" + b",\n" * 5_000_000


def gzip_zeros() -> bytes:
    """8 MB that unpack to 8 GB."""
    return _zeros(8 << 30, b"1")


def gzip_nulls() -> bytes:
    return _zeros(2 << 30, b"\0")


def gzip_members() -> bytes:
    return gzip.compress(b"") * 400_000


def gzip_in_gzip() -> bytes:
    return gzip.compress(_zeros(2 << 30, b"1"))


def tar_sparse() -> bytes:
    """A GNU sparse file of a terabyte with nothing in it."""
    head = tarfile.TarInfo("t.csv")
    block = bytearray(head.tobuf(tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[386:410] = b"00000000000\0" + b"00000000000\0"
    block[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    return _with_sum(block) + bytes(1024)


def tar_claims() -> bytes:
    head = tarfile.TarInfo("t.csv")
    head.size = 1 << 40
    return head.tobuf(tarfile.GNU_FORMAT) + b"x" * 512


def tar_many() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for index in range(20_000):
            archive.addfile(tarfile.TarInfo(f"f{index}"))
    return made.getvalue()


def swf_line() -> bytes:
    return b"1 " * 5_000_000 + b"\n"


def swf_numbers() -> bytes:
    row = b" ".join([b"1"] + [b"9" * 4_000] * 17)
    return (row + b"\n") * 50


def study_runs() -> bytes:
    text = (ROOT / "studies" / "west-or-east.yaml").read_text()
    return text.replace("../networks", str(ROOT / "networks")).encode() + (
        b"\nseeds: [" + b"1, " * 900_000 + b"1]\n"
    )


def _zeros(size: int, byte: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = byte * (1 << 24)
    return b"".join(packer.compress(block) for _ in range(size >> 24)) + packer.flush()


def _with_sum(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


JOB = (yaml_aliases, yaml_self, yaml_deep, yaml_flow_maps, yaml_dashes, yaml_keys, yaml_documents,
       yaml_long_line, yaml_huge_number)  # fmt: skip
BOMBS: tuple[tuple[str, Callable[[], bytes]], ...] = (
    *((reader, one) for reader in ("job", "jobs", "voucher", "study", "site") for one in JOB),
    *(("tes", one) for one in (json_deep, json_number, json_wide)),
    *(("message", one) for one in (json_deep, json_number, json_wide)),
    *(("sbatch", one) for one in (sbatch_lines, sbatch_array, sbatch_quotes, yaml_long_line)),
    *(("network", one) for one in (csv_columns, csv_quote, csv_rows, yaml_long_line)),
    *(("manifest", one) for one in JOB),
    *(
        ("trace", one)
        for one in (
            gzip_zeros, gzip_nulls, gzip_members, gzip_in_gzip, tar_sparse, tar_claims, tar_many,
            swf_line, swf_numbers, csv_columns, csv_quote, csv_rows,
        )
    ),
    ("study", study_runs),
)  # fmt: skip
QUICK = (("job", yaml_aliases), ("trace", gzip_nulls), ("trace", tar_sparse))


def limits() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))


HERE = BOMBS if FUZZ_HOME else QUICK


@pytest.mark.parametrize(("reader", "bomb"), HERE, ids=[f"{a}-{b.__name__}" for a, b in HERE])
def test_bomb(
    reader: str,
    bomb: Callable[[], bytes],
    tmp_path: Path,
    tally: dict[str, int],
) -> None:
    path = tmp_path / "input"
    path.write_bytes(bomb())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, reader, str(path)],
        cwd=ROOT,
        preexec_fn=limits,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-1500:]}"
    tally["bombs"] = tally.get("bombs", 0) + 1

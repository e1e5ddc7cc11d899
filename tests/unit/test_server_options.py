"""What the server's command line makes of its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from westward.server.options import parse
from westward.server.settings import LIVE_POLICY

NEEDED = ["--network", "networks/laptop", "--data", "somewhere"]


def test_the_policy_is_the_live_one_with_another_assumed_run_time() -> None:
    plain, _ = parse(NEEDED)
    assert plain.policy == LIVE_POLICY
    assert plain.network == Path("networks/laptop")
    short, _ = parse([*NEEDED, "--assume-duration", "10m"])
    assert short.policy.assumed_duration_ms == 600_000
    assert short.policy.discipline == LIVE_POLICY.discipline


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--assume-duration", "0s"], "--assume-duration: at least 1s"),
        (["--assume-duration", "soon"], "'soon' is not a duration"),
        (["--lease", "10ms"], "--lease: at least 1s"),
    ],
)
def test_bad_times_are_refused(
    option: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([*NEEDED, *option])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err

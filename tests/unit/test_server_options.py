"""What the server's command line makes of its options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from westward.formats.policy_file import read_policy
from westward.formats.sections import Faults, read_root
from westward.model.faults import InputFaults
from westward.model.plan import Policy
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


ADOPTED = """\
label: Greener
rule: westward
discipline: easy
wait_value: 2.5
carbon_price: 300
carbon_method: contract
defer_limit: 6h
assume_duration: 20m
review: 5m
preempt: true
reconsider: 1h
checkpoint_gb: 4
"""


def test_a_policy_that_was_rehearsed_is_adopted(tmp_path: Path) -> None:
    """The same text is an entry of a study's policies and the server's file."""
    file = tmp_path / "policy.yaml"
    file.write_text(ADOPTED)
    settings, _ = parse([*NEEDED, "--policy", str(file)])
    faults = Faults("study")
    tree = read_root(ADOPTED, faults, what="policy", begin="")
    assert tree is not None
    rehearsed = read_policy(tree, Policy())
    assert faults.found == []
    assert settings.policy == replace(rehearsed, preemption=False, reconsider_ms=0)
    assert (settings.preempt, settings.reconsider_ms) == (True, 3_600_000)
    assert settings.policy.carbon_price_micros_per_tonne == 300_000_000
    nearer, _ = parse([*NEEDED, "--policy", str(file), "--review", "0s", "--reconsider", "2h"])
    assert (nearer.policy.review_ms, nearer.reconsider_ms) == (0, 7_200_000)


def test_what_a_policy_file_leaves_out_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("carbon_price: 0\n")
    settings, _ = parse([*NEEDED, "--policy", str(file)])
    assert settings.policy == replace(LIVE_POLICY, carbon_price_micros_per_tonne=0)
    assert (settings.preempt, settings.reconsider_ms) == (False, 0)


def test_every_fault_of_a_policy_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "rule: westwards\nprice_period: 6h\nreview: 10ms\npacking: fgd\nwait_value: -1\n"
    )
    with pytest.raises(InputFaults) as found:
        parse([*NEEDED, "--policy", str(file)])
    told = {(one.row, one.field, one.problem) for one in found.value.faults}
    assert {row for row, _, _ in told} == {1, 2, 3, 4, 5}
    assert (2, "price_period", "a server posts no prices of capacity") in told
    assert (4, "packing", "unknown key") in told
    assert (3, "review", "10 ms") in told
    for text, problem in (("", "the file holds no policy"), ("[]", "not a mapping")):
        file.write_text(text)
        with pytest.raises(InputFaults, match=problem):
            parse([*NEEDED, "--policy", str(file)])
    with pytest.raises(InputFaults, match="cannot be read: No such file"):
        parse([*NEEDED, "--policy", str(tmp_path / "none.yaml")])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--assume-duration", "0s"], "--assume-duration: at least 1s"),
        (["--assume-duration", "soon"], "'soon' is not a duration"),
        (["--review", "10ms"], "--review: at least 1s, or 0s for never"),
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

"""Two processes train as one does with the same batch and seed: weights, buffers, numbers, whatever draws or compares.

The reference is one process, and torch's own layers on the whole batch. All but the first case are in float64, where a
real difference cannot hide: in float32, Adam makes whole steps out of gradients that are nothing but rounding. Even in
float64 such steps are the largest difference, 1e-8; everything else agrees to 1e-12.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

DRIVER = Path(__file__).with_name("two_processes.py")
USUAL = ("dcgan in float32", "resnet_r1", "fastgan")
RARER = ("dcgan_r1", "comparing", "rotating", "restoring", "foreign")


def drive(folder, *words):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, str(DRIVER), str(folder), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("usual"), "same", *USUAL)


@pytest.fixture(scope="module")
def rarer(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("rarer"), "same", *RARER)


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("facts"), "facts")


def check_the_same(found, *, tolerance):
    """Each tensor within ``tolerance`` of its norm, after 20 turns from the same start; each number within it."""
    assert found["one start"]
    assert found["turns"] == 20
    assert found["trained"] > 1e-4  # of the weight that moved least
    assert found["weights"][0] < tolerance, found["weights"]
    assert found["published"][0] < tolerance, found["published"]
    assert found["named alike"]
    assert found["records"] < tolerance
    assert found["two alike"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", USUAL)
def test_two_processes_end_where_one_does(usual, name):
    check_the_same(usual[name], tolerance=1e-5 if "float32" in name else 1e-7)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", RARER)
def test_two_processes_end_where_one_does_whatever_draws_or_compares(rarer, name):
    check_the_same(rarer[name], tolerance=1e-7)


@pytest.mark.timeout(900)
def test_batch_normalisation_is_that_of_the_whole_batch_and_so_are_its_derivatives(facts):
    """Outputs, gradients, gradients of gradients, running statistics, against torch's layer on all images."""
    for norms in facts["norms"]:
        assert len(norms) == 5
        for name, parts in norms.items():
            assert max(parts) < 1e-11, (name, parts)


def test_they_agree_and_tell_each_other(facts):
    first, second = facts["agreeing"]
    slopes = [each["gathered"][1] for each in (first, second)]
    # d/da (a^2 + 10 b^2), summed over both processes that read it.
    assert slopes == [2 * 2 * 1.0, 2 * 2 * 10 * 2.0]
    for each in (first, second):
        assert each["word"] == {"signal": 15, "save": True, "done": False, "saved": 64}
        assert each["from first"] == 0.125
        assert each["bytes"] == ["\0first", "second", ""]
        assert each["averaged"] == [[[[0.5], [0.5]], "torch.float32"], [1.5, "torch.float64"]]
        assert [each["gathered"][0], *each["gathered"][2:]] == [[1.0, 2.0], 1.5, [0, 1]]
        assert each["joined already"]
        assert each["still joined"]


def test_what_fails_in_one_fails_in_all_with_one_message(facts):
    for each in facts["agreeing"]:
        assert each["fates"] == ["no cake for 0", f"Process 1, on {facts['host']}: no cake for 1", ""]


def test_a_number_that_is_not_finite_in_one_process_moves_no_weight_in_any_and_the_whole_batch_is_named(facts):
    assert [each["not finite"] for each in facts["disagreeing"]] == [["discriminator", True, True]] * 2
    assert [each["read later"] for each in facts["disagreeing"]] == [[1, "discriminator", 0, True, True]] * 2


def test_weights_that_have_drifted_apart_are_refused_by_name(facts):
    for each in facts["disagreeing"]:
        told = each["drifted"]
        assert "After 16 images the processes do not hold the same weights any more: 1 of 21 tensors differ" in told
        assert "the first is 'Generator: layers.0.weight'" in told
        assert "the same command goes on from the last checkpoint" in told


def test_the_first_ones_state_is_handed_out_whole(facts):
    (first, second) = (each["handed out"] for each in facts["disagreeing"])
    assert first == second
    assert first[1:3] == [16, 1.0]
    assert any(first[3])


def test_a_batch_that_cannot_be_shared_evenly_and_a_layer_that_knows_no_other_process_are_refused(facts):
    for each in facts["disagreeing"]:
        told = "A batch of 7 images cannot be shared evenly by 2 processes. Type --set batch_size=8, or start 1."
        assert each["uneven"].startswith(told)
        assert each["unknown layer"].startswith("AlphaDropout cannot be trained by several processes")


def test_one_clock_decides_for_all_when_a_budget_in_seconds_is_spent(facts):
    (first, seen), (second, also) = (each["clocks"] for each in facts["disagreeing"])
    assert first
    assert second
    assert seen == also


def test_a_program_that_joins_the_group_itself_needs_nothing_else(facts):
    (images, weights), other = facts["by hand"]
    assert images == 40
    assert [images, weights] == other


def test_a_program_may_join_and_leave_twice(facts):
    assert facts["twice"] == [[[2, 1.0], False, [2, 2.0], False]] * 2


def test_a_killed_process_is_told_by_the_others_with_a_code_of_its_own(facts):
    ((told, code),) = facts["losing"]
    assert told.startswith("Another process of this run has ended, so this one ends too. The same command goes on")
    assert "\n" not in told
    assert code == 75

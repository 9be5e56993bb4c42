"""A process's place, and who tells the user what."""

import pytest

from cardigan.errors import CardiganError
from cardigan.interrupts import InterruptedRunError
from cardigan.place import LostProcessError, Place, tells, told


def test_alone_without_a_launcher_and_with_one_that_starts_one():
    assert told({}) == Place() == told({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "3"})
    assert told({"WORLD_SIZE": "many"}) == Place()


def test_a_launcher_tells_all_of_it():
    words = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert told(words) == Place(number=5, count=8, local=1, neighbours=4)


def test_an_operator_that_starts_one_process_a_machine_tells_less():
    assert told({"RANK": "1", "WORLD_SIZE": "2"}) == Place(number=1, count=2, local=0, neighbours=1)


def test_the_environment_is_read_anew_each_time(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert told().number == 1
    monkeypatch.delenv("WORLD_SIZE")
    assert told() == Place()


@pytest.mark.parametrize("error", [CardiganError("no"), InterruptedRunError(15, "saved")])
def test_what_concerns_all_is_told_by_the_first(error):
    assert [tells(error, Place(number, 4, number % 2, 2)) for number in range(4)] == [True, False, False, False]


def test_a_lost_process_is_told_by_two_of_each_machine_for_one_may_be_the_lost_one():
    places = [Place(number, 6, number % 3, 3) for number in range(6)]
    assert [tells(LostProcessError("closed"), place) for place in places] == [True, True, False] * 2


def test_a_lost_process_has_the_exit_code_of_what_may_be_tried_again():
    error = LostProcessError("Connection closed by peer", "The last checkpoint is of 64 images.")
    assert error.exit_code == 75
    assert str(error) == (
        "Another process of this run has ended, so this one ends too. The last checkpoint is of 64 images. (Told: "
        "Connection closed by peer)"
    )

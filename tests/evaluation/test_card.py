"""Score cards: everything that must agree before two may be compared, saved whole and read back as it was."""

import dataclasses
import json

import pytest

from cardigan.errors import CardiganError
from cardigan.evaluation.card import CARD, FORMAT, Protocol, load_card

OTHER = {
    "extractor": "inception",
    "digest": "e" * 64,
    "preprocessing": "299x299",
    "device": "cuda",
    "shape": (32, 32, 3),
    "reference": "training",
    "fingerprint": "0" * 64,
    "real": 701,
    "generated": 1001,
    "compared": 901,
    "parts": 1,
    "weights": "as trained",
    "truncation": 0.7,
    "labels": "none",
    "seeds": (8,),
    "neighbours": 3,
    "points": 15,
    "version": 99,
}


def test_every_field_of_a_protocol_is_changed_below():
    assert set(OTHER) == {field.name for field in dataclasses.fields(Protocol)}


@pytest.mark.parametrize("field", OTHER)
def test_each_field_changes_the_protocol_and_is_named(card, field):
    mine, other = card().protocol, card(protocol={field: OTHER[field]}).protocol
    assert mine.digest_of_all != other.digest_of_all
    assert mine.differences(other) == [(field, getattr(mine, field), OTHER[field])]
    assert mine.differences(card().protocol) == []
    assert mine.digest_of_all == card().protocol.digest_of_all


def test_a_card_is_read_back_as_it_was(card, tmp_path):
    before = card()
    before.save(tmp_path / CARD)
    after = load_card(tmp_path / CARD)
    assert after == before
    assert after.protocol.digest_of_all == before.protocol.digest_of_all
    told = json.loads((tmp_path / CARD).read_text())
    assert told["format"] == FORMAT
    assert told["protocol_sha256"] == before.protocol.digest_of_all
    assert [path.name for path in tmp_path.iterdir()] == [CARD]


def test_a_card_of_before_has_no_values_of_parts(card, tmp_path):
    card().save(tmp_path / CARD)
    told = json.loads((tmp_path / CARD).read_text())
    for score in told["scores"]:
        del score["parts"]
    (tmp_path / CARD).write_text(json.dumps(told))
    assert [score.parts for score in load_card(tmp_path / CARD).scores] == [()] * 4


def test_findings_are_alarms_or_notes(card):
    assert [finding.name for finding in card().alarms] == ["repeats"]
    assert [finding.name for finding in card().notes] == ["copies"]
    assert card().score("recall").value == 0.5
    with pytest.raises(KeyError):
        card().score("is")


def message(path):
    with pytest.raises(CardiganError) as caught:
        load_card(path)
    return str(caught.value)


def test_a_card_that_is_not_there(tmp_path):
    path = tmp_path / CARD
    assert message(path) == f"There is no score card {path}. Name a run's folder, or a score card."
    (tmp_path / "config.json").touch()
    assert message(path) == f"There is no score card {path}. Measure first: cardigan evaluate {tmp_path}"


def test_a_card_that_cannot_be_read(tmp_path):
    assert message(tmp_path).startswith(f"The score card {tmp_path} cannot be read: ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda told: told | {"format": 99},
            f"{{path}} is a score card of format 99, expected {FORMAT}. Measure again",
        ),
        (
            lambda told: told["protocol"].update(generated=5) or told,
            "The protocol in {path} does not match its SHA-256",
        ),
        (lambda told: {}, "{path} is damaged, or no score card (it has no 'format'). Measure again"),
        (lambda told: [1], "{path} is damaged, or no score card (list indices"),
        (lambda told: {name: told[name] for name in told if name != "made"}, "(it has no 'made')"),
        (lambda told: told | {"scores": [{"metrik": 1}]}, "unexpected keyword argument 'metrik'"),
    ],
)
def test_a_damaged_card_is_told(card, tmp_path, change, told):
    path = tmp_path / CARD
    card().save(path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    found = message(path)
    assert told.format(path=path) in found
    assert f"Measure again: cardigan evaluate {tmp_path}" in found


def test_a_torn_card_is_told(card, tmp_path):
    path = tmp_path / "mine.json"
    card().save(path)
    path.write_bytes(path.read_bytes()[:100])
    found = message(path)
    assert found.startswith(f"{path} is damaged, or no score card (")
    assert found.endswith("Measure again: cardigan evaluate RUN")
    path.write_bytes(b"\xff\xfe")
    assert message(path).startswith(f"{path} is damaged, or no score card (")

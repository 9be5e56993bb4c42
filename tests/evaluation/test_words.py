"""Score cards and comparisons as texts."""

import dataclasses

import pytest

from cardigan.evaluation.card import Score
from cardigan.evaluation.ranking import compare
from cardigan.evaluation.words import NAMES, number, protocol_lines, ranked, title, told, valued


def test_a_card_says_alarms_first_then_scores_then_the_rest(card):
    lines = told(card()).splitlines()
    assert lines[0] == "runs/a, through pixels (PCA)"
    assert lines[2] == "  WARNING, repeats: Half of them repeat."
    text = "\n".join(lines)
    for part in (
        "  kernel distance (KID) x 1,000   12.0 ± 1.0; real images 0.500   (lower is better)\n",
        "   unbiased\n",
        "  Fréchet distance (FD)           not given   (lower is better)\n",
        "  recall                          0.500 ± 0.010; real images 0.900   (higher is better)\n",
        "  authenticity                    0.800 ± 0.010; real images 0.700   (near that of real images is healthy)\n",
        "  KID x 1,000 to the training images of each class, the worst first: cat (30.0), dog (10.0); 1 with too few "
        "images\n",
        "  copies: None copies.\n",
        "  3 parts of 1,000 samples, 900 of each where their number counts (averaged weights, truncation 1, classes as "
        "in the data, seed 7) against 700 held-out images, 32x24, 3 channels\n",
        "  extractor dddddddddddd on cpu: 16x16\n",
        "  k = 5 for precision, recall, density and coverage; 2 points for the line to FD-infinity\n",
        f"  protocol {card().protocol.digest_of_all[:12]}: compare with nothing",
        "  As asked for.",
    ):
        assert part in text, part
    assert text.index("WARNING") < text.index("kernel") < text.index("None copies") < text.index("protocol")


def test_files_have_neither_truncation_nor_drawn_classes(card):
    given = {"weights": "as given", "truncation": None, "labels": "as given", "seeds": (), "parts": 1, "compared": 1000}
    first = protocol_lines(card(protocol=given | {"shape": (8, 8, 1)}))[0]
    assert first == "1,000 samples (weights as they came) against 700 held-out images, 8x8, 1 channel"


def test_a_card_without_alarms_or_classes_has_no_empty_places(card):
    text = told(card(findings=(), classes={}))
    assert "WARNING" not in text
    assert "each class" not in text
    assert "\n\n\n" not in text


def test_many_classes_name_the_worst_and_the_best(card):
    text = told(card(classes={str(place): place / 1000 for place in range(9)}))
    assert "the worst first: 8 (8.00), 7 (7.00), 6 (6.00), 5 (5.00), 4 (4.00); best 0 (0)\n" in text
    none = told(card(classes={"cat": None, "dog": None}))
    assert "None of 2 classes has enough images to be measured by itself." in none


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("extractor", ["inception", "inception-legacy", "dinov2", "own classifier"])
def test_fid_is_inceptions_alone(metric, extractor):
    assert ("FID" in title(Score(metric, 1.0, None, None, "low"), extractor)) == (
        metric.startswith("fd") and extractor == "inception"
    )


def test_both_frechet_distances_are_told_apart():
    scores = [Score(metric, 1.0, None, None, "low") for metric in ("fd", "fd-infinity")]
    assert [title(score, "inception") for score in scores] == [
        "Fréchet distance (FID)",
        "Fréchet distance (FID-infinity)",
    ]
    assert title(scores[1], "dinov2") == "Fréchet distance (FD-infinity)"


def test_numbers():
    assert number(1234.567, "fd") == "1,235"
    assert number(-0.00003, "kid") == "-0.0300"
    assert number(-0.0000000003, "kid") == number(0.0, "kid") + ".0000"
    assert number(0.0, "kid") == "0"
    assert valued(Score("kid", 0.012345, 0.000678, None, "low")) == "12.35 ± 0.68"
    assert valued(Score("fd", None, None, None, "low")) == "not given"


def test_a_comparison_numbers_its_places(card):
    clean = dataclasses.replace(card("b", 0.02), findings=())
    lines = ranked(compare([clean, card("a", 0.01)])).splitlines()
    assert lines[0] == "1. a: kernel distance (KID) x 1,000 10.0 ± 1.0   WARNING: repeats"
    assert lines[1] == "2. b: kernel distance (KID) x 1,000 20.0 ± 1.0"
    assert lines[2] == f"Lower is better. All by protocol {clean.protocol.digest_of_all[:12]}."
    assert lines[3] == "a: Half of them repeat."

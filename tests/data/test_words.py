import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cardigan.data.words import counted, first, offenders, printable


@given(st.text())
def test_printable_names_hold_nothing_that_moves_a_cursor(name):
    assert printable(name).isprintable() or " " in name or "\u3000" in name or not printable(name).isascii()
    assert not set(printable(name)) & set("\n\r\t\x1b\u202e\u2028\x00")


def test_printable_escapes_what_cannot_be_decoded():
    assert printable("a\udcffb.png") == "a\\udcffb.png"
    assert printable("Käse 猫.png") == "Käse 猫.png"


def test_numbers_agree_with_their_words():
    assert [counted(number, "image") for number in (0, 1, 2, 1234)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,234 images",
    ]
    assert [counted(number, "class", "classes") for number in (1, 3)] == ["1 class", "3 classes"]


def test_lists_end():
    assert first([]) == ""
    assert first("abcde") == "a, b, c, d, e"
    assert first("abcdefg") == "a, b, c, d, e and 2 more"
    values = np.arange(8)
    assert offenders(values, values > 1) == "2 at 2, 3 at 3, 4 at 4, 5 at 5, 6 at 6 and 1 more"

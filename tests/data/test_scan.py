import json

from cardigan.data import DataSettings, open_source
from cardigan.data import scan as scan_function
from cardigan.data.scan import scan


def test_the_scan_of_the_zoo(zoo, animals):
    calls = []
    found = scan(zoo, on_progress=lambda done, total: calls.append((done, total)))
    good = [name for name, (_, reason, _) in animals.items() if reason is None]
    assert calls == [(done, len(animals)) for done in range(1, len(animals) + 1)]
    assert (found.files, found.count, found.kept, found.channels) == (len(animals), len(good), len(good) - 1, 3)
    assert found.duplicates == (("good-copy.bmp", "good.png"),)
    assert found.ignored == {"hidden or system": 1, ".txt": 1}
    assert dict(found.bad)["x\\n\\u202egpj.png"].startswith("1x1 is too small")
    assert found.modes == {"RGB": 5, "P": 1, "RGBA": 1, "CMYK": 1, "L": 1, "I;16": 1}
    assert found.sizes["most common"] == (24, 32)
    assert found.refusals == ()
    said = "\n".join(found.warnings)
    assert "Only 9 images: the model will very likely copy them." in said
    assert "7 files cannot be used and are left out: bomb.png (9000x9000" in said
    assert "and 2 more. To stop instead: --set on_bad=stop" in said
    assert "1 of 10 images is an exact copy of another and is left out." in said
    assert "1 of 10 images is transparent in places and painted over with white" in said
    assert "1 of 10 images is marked as AI-generated" in said


def test_the_summary_fits_a_terminal_and_the_config(zoo):
    found = scan(zoo)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    assert text.count("bomb.png") == 1
    for part in ("10 of 17 files can be used, 9 are kept", "classes   none", "warning", "ignored"):
        assert part in text
    again = json.loads(json.dumps(found.to_dict()))
    assert again["count"] == 10
    assert again["sizes"]["smallest"] == [24, 32]


def test_scan_is_reexported():
    assert scan_function is scan


def test_shared_photos_scan(shared):
    found = scan(open_source(shared("superres.zip")))
    assert found.count == 98
    assert found.modes == {"RGB": 97, "L": 1}
    assert found.bad == ()


def test_a_scan_for_pieces_warns_of_no_copying(zoo):
    cut = scan(zoo, settings=DataSettings(fit="cut"))
    assert not [text for text in cut.warnings if "copy them" in text]
    assert (cut.count, cut.refusals) == (11, ())  # the line, too long for a crop, can be cut
    refused = scan(zoo, settings=DataSettings(fit="cut"), size=(64, 64))
    assert refused.refusals[0].startswith("11 of 11 images in ")
    assert refused.refusals[0].endswith(
        " are smaller than 64x64, and no piece can be cut from them. Type a smaller size, such as --size 16"
    )

import pytest

from cardigan.data import open_source, scan


def test_flat_folder(tree, png, tmp_path):
    source = open_source(str(tree(tmp_path, "b.png", "a.JPG", "c.webp")))
    assert [item.name for item in source] == ["a.JPG", "b.png", "c.webp"]
    assert source.classes == ()
    assert source.description == "a flat heap of 3 images, no classes"
    assert source.items[0].read() == png()


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("wrapper", ["", "data/set/"])
def test_class_folders(tree, zipped, tmp_path, kind, wrapper):
    names = [wrapper + name for name in ("dog/1.png", "cat/1.png", "cat/more/2.png")]
    path = zipped(tmp_path / "a.zip", *names) if kind == "zip" else tree(tmp_path, *names)
    source = open_source(path)
    assert source.classes == ("cat", "dog")
    assert [item.label for item in source] == [0, 0, 1]
    assert source.description.startswith("2 class folders, 3 images")
    assert bool(wrapper) == ("(inside data/set)" in source.description)


def test_empty_class_folders_are_named(tree, tmp_path):
    tree(tmp_path, "w/cat/1.png", "w/dog/1.png", "w/.cache/x.png")
    (tmp_path / "w" / "bird").mkdir()
    assert open_source(tmp_path).remarks == ("Class folders without images are left out: bird.",)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_images_beside_class_folders_make_a_heap_and_say_so(tree, zipped, tmp_path, kind):
    names = ("cat/1.png", "cat/2.png", "dog/1.png", "x.png")
    mixed = open_source(zipped(tmp_path / "a.zip", *names) if kind == "zip" else tree(tmp_path / "a", *names))
    assert mixed.classes == ()
    assert {item.label for item in mixed} == {None}
    assert mixed.description == "a flat heap of 4 images, 1 of them beside and 3 in 2 sub-folders, no classes"
    assert mixed.remarks == (
        "The sub-folders were not read as classes, because 1 image lies beside them: x.png. To train with classes, "
        "move each into one.",
    )


def test_many_loose_images_are_counted_and_the_first_named(tree, tmp_path):
    mixed = open_source(tree(tmp_path, "cat/1.png", "dog/1.png", *(f"{number}.png" for number in range(5))))
    assert "5 images lie beside them: 0.png, 1.png, 2.png and 2 more." in mixed.remarks[0]


def test_one_sub_folder_is_no_class(tree, tmp_path):
    assert open_source(tree(tmp_path, "cat/1.png")).description == "a flat heap of 1 image in 1 sub-folder, no classes"
    tree(tmp_path, "2.png", "3.png")
    assert open_source(tmp_path).description == (
        "a flat heap of 3 images, 2 of them beside and 1 in 1 sub-folder, no classes"
    )


def test_sub_folders_without_images_of_their_own_are_named(tree, tmp_path):
    deep = open_source(tree(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/2.png", "other/1.png"))
    assert deep.classes == ()
    assert deep.description == "a flat heap of 4 images in 3 sub-folders, no classes"
    assert deep.remarks == (
        "The sub-folders were not read as classes, because test, train hold no images themselves. To train with "
        "classes, give the folder of the class folders.",
    )


def test_class_folders_that_differ_by_case_are_two_classes_and_warned_of(zipped, tmp_path):
    source = open_source(zipped(tmp_path / "a.zip", "cat/1.png", "Cat/1.png", "Cat/2.png", "dog/1.png"))
    assert source.classes == ("Cat", "cat", "dog")
    assert source.description == "3 class folders, 4 images"
    warned = [text for text in scan(source).warnings if "differ only by case" in text]
    assert warned == [
        "Classes whose names differ only by case: Cat, cat. They are read as 2 classes; if they are one, merge their "
        "folders."
    ]


def test_no_images_says_what_was_seen(message, tree, tmp_path):
    tree(tmp_path, "a.txt", "b.txt", "c.txt", "d.csv", "README", content=b"x")
    said = message(tmp_path)
    assert said.startswith(
        f"No images in {tmp_path}. Looked for PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, AVIF, JPEG 2000 or HEIC; saw "
    )
    assert "3 .txt" in said
    assert "1 without an ending" in said
    (tmp_path / "empty").mkdir()
    assert "saw nothing" in message(tmp_path / "empty")


def test_names_in_messages_are_escaped(message, tmp_path):
    odd = tmp_path / "a\n\u202eb"
    odd.mkdir()
    assert "a\\n\\u202eb. Looked for" in message(odd)

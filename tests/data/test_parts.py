import pytest

from cardigan.data import DataSettings, open_source
from cardigan.data.parts import role
from cardigan.errors import CardiganError


def opened(tree, zipped, tmp_path, kind, *names, **settings):
    path = zipped(tmp_path / "a.zip", *names) if kind == "zip" else tree(tmp_path / "a", *names)
    return open_source(path, DataSettings(**settings))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(
            (name, "train")
            for name in ("train", "Training", "TRAIN", "trainset", "train2017", "train_images", "train-1")
        ),
        *(
            (name, "held")
            for name in ("val", "valid", "validation", "test", "Testing", "dev", "eval", "unlabeled", "testB")
        ),
        *((name, "notes") for name in ("masks", "labels", "Annotations", "SegmentationClass", "train_masks", "thumbs")),
        *((name, "pictures") for name in ("images", "JPEGImages", "imgs")),
        *((name, "side") for name in ("trainA", "train_B")),
        *((name, "piece") for name in ("fold1", "fold_2", "part-03", "batch 4")),
        *(
            (name, None)
            for name in ("cats", "no_mask", "with_mask", "class1", "A", "1", "testament", "part", "über", "")
        ),
    ],
)
def test_the_role_of_a_folder_is_in_the_words_of_its_name(name, wanted):
    assert role(name) == wanted


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("held", ["val", "valid", "validation", "test", "Testing", "dev"])
def test_the_training_part_is_read_and_the_others_are_named(tree, zipped, tmp_path, kind, held):
    names = ("set/train/1.png", "set/train/2.png", f"set/{held}/3.png")
    source = opened(tree, zipped, tmp_path, kind, *names)
    assert [item.name for item in source] == ["set/train/1.png", "set/train/2.png"]
    assert source.classes == ()
    assert source.remarks == (
        f"Only train is read: {held} (1) is left out, as a part of a data set, not classes. Others: --set split=NAME, "
        "all as one: split=all, as classes: split=classes",
    )


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize(
    "shape", ["{split}/{kind}", "{kind}/{split}", "images/{split}/{kind}", "{split}/images/{kind}"]
)
def test_classes_below_or_above_the_parts(tree, zipped, tmp_path, kind, shape):
    names = [
        f"{shape.format(split=split, kind=pet)}/{number}{split}.png"
        for split in ("train", "val")
        for pet in ("cat", "dog")
        for number in (1, 2)
    ]
    source = opened(tree, zipped, tmp_path, kind, *names, *["masks/1.png"] * shape.startswith("images"))
    assert source.classes == ("cat", "dog")
    assert [item.label for item in source] == [0, 0, 1, 1]
    assert all("train" in item.name for item in source)
    assert any("val (4)" in remark for remark in source.remarks)


def test_a_part_is_chosen_by_name_all_as_one_or_as_classes(tree, tmp_path):
    tree(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "val/dog/2.png", "test/cat/3.png")
    read = {
        split: [item.name for item in open_source(tmp_path, DataSettings(split=split))]
        for split in ("val", "all", "val,test", "classes")
    }
    assert read["val"] == ["val/cat/2.png", "val/dog/2.png"]
    assert len(read["all"]) == len(read["classes"]) == 5
    assert read["val,test"] == ["test/cat/3.png", "val/cat/2.png", "val/dog/2.png"]
    assert open_source(tmp_path, DataSettings(split="all")).classes == ("cat", "dog")
    assert open_source(tmp_path, DataSettings(split="classes")).classes == ()
    with pytest.raises(
        CardiganError, match=r"split is 'vla', but .* has no folder of that name. It holds cat, dog, test, "
    ):
        open_source(tmp_path, DataSettings(split="vla"))
    tree(tmp_path / "flat", "train/1.png", "val/2.png")
    assert open_source(tmp_path / "flat", DataSettings(split="classes")).classes == ("train", "val")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("trainA/1.png", "trainB/2.png"), "sides of a pair"),
        (("val/1.png", "test/2.png"), "parts of a data set"),
        (("labeled/1.png", "test/1.png", "unlabeled/2.png"), None),
        (("images/1.png", "photos/2.png", "masks/1.png"), "parts of a data set"),
    ],
)
def test_where_it_is_unclear_the_user_is_asked(tree, message, tmp_path, names, what):
    tree(tmp_path, *names)
    if what is None:  # "labeled" is no known word, so these are classes, and two of them are doubted
        assert open_source(tmp_path).remarks[0].startswith("test, unlabeled are read as classes, like the folders")
        return
    said = message(tmp_path)
    assert f"by their names {what}, not classes, and none is the one to train on. Type --set split=" in said
    assert "--set split=all; as classes: --set split=classes" in said


def test_pairs_with_one_side_to_train_on(tree, tmp_path):
    tree(tmp_path, "trainA/1.png", "testA/2.png")
    assert [item.name for item in open_source(tmp_path)] == ["trainA/1.png"]


@pytest.mark.parametrize("notes", ["masks", "labels", "annotations", "SegmentationClass", "thumbs", "depth"])
def test_pictures_are_read_and_notes_on_them_are_not(tree, tmp_path, notes):
    tree(tmp_path, "JPEGImages/1.png", "JPEGImages/2.png", f"{notes}/1.png", f"{notes}/2.png")
    source = open_source(tmp_path)
    assert [item.name for item in source] == ["JPEGImages/1.png", "JPEGImages/2.png"]
    assert f"{notes} (2) is left out" in source.remarks[0]


def test_folds_are_read_as_one_with_their_classes(tree, tmp_path):
    tree(tmp_path, *(f"fold{fold}/{pet}/{fold}.png" for fold in (1, 2, 3) for pet in ("cat", "dog")))
    source = open_source(tmp_path)
    assert (source.classes, len(source)) == (("cat", "dog"), 6)
    assert source.remarks[0].startswith(
        "fold1, fold2, fold3 are parts of a data set, not classes, and are read as one."
    )


def test_a_class_that_is_called_as_a_part_is_kept_and_doubted(tree, tmp_path):
    tree(tmp_path, *(f"{kind}/{number}.png" for kind in ("bus", "train", "car") for number in (1, 2)))
    source = open_source(tmp_path)
    assert source.classes == ("bus", "car", "train")
    assert source.remarks == ("train is read as a class, like the folders beside it. If it is no class, move it out.",)


def test_images_beside_the_parts_are_counted(tree, tmp_path):
    tree(tmp_path, "train/1.png", "val/2.png", "cover.png")
    source = open_source(tmp_path)
    assert [item.name for item in source] == ["train/1.png"]
    assert "val (1), 1 image beside the folders are left out" in source.remarks[0]


def test_folders_that_only_number_their_files_are_no_classes(tree, tmp_path):
    tree(tmp_path / "ffhq", *(f"{start:05d}/{start + at:05d}.png" for start in (0, 1000, 2000) for at in range(2)))
    source = open_source(tmp_path / "ffhq")
    assert source.classes == ()
    assert source.remarks[0].startswith(
        "The sub-folders 00000, 01000, 02000 only number the files, and are no classes."
    )
    assert open_source(tmp_path / "ffhq", DataSettings(split="classes")).classes == ("00000", "01000", "02000")
    tree(tmp_path / "signs", *(f"{kind:05d}/{at:05d}.png" for kind in (0, 1) for at in range(2)))
    assert open_source(tmp_path / "signs").classes == ("00000", "00001")

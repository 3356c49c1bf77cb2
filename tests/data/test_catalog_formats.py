"""Each data set's own files give the right videos, labels, times and class order."""

import json
import os
import unicodedata

import numpy as np
import pytest
from data_sets import EPIC_HEADER, EPIC_ROW, epic, kinetics, moments, ssv2, touch, ucf101, write

from vivit_lab import data
from vivit_lab.data.formats import format_of


def found(catalog: data.Catalog, root) -> list:
    return [(os.path.relpath(s.path, root), s.label) for s in catalog]


# --- Kinetics -------------------------------------------------------------------------------------


def test_kinetics_finds_videos_wherever_mirrors_put_them_cut_or_whole(tmp_path):
    annotations = kinetics(tmp_path, "high jump,abc-_123456,10,20,train")
    cut, whole = "abc-_123456_000010_000020", "abc-_123456.mp4"
    for number, (place, others) in enumerate(
        [
            *((f"{cut}.mp4", []), (f"high jump/{cut}.mp4", []), (f"train/{cut}.webm", [])),
            *((f"high_jump/{cut}.mp4", []), (f"train/high jump/{cut}.mp4", []), (f"{cut}.MKV", [])),
            (f"{cut}.mp4", [whole]),
            (f"high_jump/{cut}.mp4", [f"aaa/{cut}.mp4"]),  # the one in its class
            (whole, []),
        ]
    ):
        root = touch(tmp_path / str(number), place, *others, f"one/folder/deep/{cut}.mp4")
        catalog = data.read_kinetics(annotations, root)
        assert found(catalog, root) == [(place, 0)]
        times = (10, 20) if place == whole else (None, None)
        segment = catalog[0]
        assert (segment.start, segment.end, segment.line, segment.name) == (*times, 2, cut)
        assert segment.path.is_absolute() and ("several files" in catalog.report()) == (number == 7)
    assert "aaa" in data.read_kinetics(annotations, tmp_path / "7").report()
    assert data.read_kinetics(annotations, root, trimmed=True)[0].start is None


def test_kinetics_columns_and_labels(tmp_path):
    header = "split,is_cc,label,youtube_id,time_start,time_end\n"
    rows = ["val,0,yoga,a,0,10", 'val,1,"jump, high",b,0,10', "val,0,Archery,c,0,10"]
    root = touch(tmp_path, *(f"{name}_000000_000010.mp4" for name in ("a", "b", "c", "aB")))
    catalog = data.read_kinetics(kinetics(tmp_path, *rows, header=header), root)
    assert catalog.class_names == ["Archery", "jump, high", "yoga"]
    assert [segment.label for segment in catalog] == [2, 1, 0]
    val = kinetics(tmp_path, "yoga,c,0,10,v")  # which lacks a class
    assert data.read_kinetics(val, root, classes=catalog.class_names)[0].label == 2

    test = kinetics(tmp_path, "a,0,10,test", header="youtube_id,time_start,time_end,split\n")
    assert data.read_kinetics(test, root)[0].label is None
    catalog = data.read_kinetics(test, root, classes=["yoga"])
    assert catalog.class_names == ["yoga"] and "no labels" in catalog.report()
    capitals = data.read_kinetics(kinetics(tmp_path, "x,aB,0,10,t", "x,ab,0,10,t"), root)
    assert [s.name[:2] for s in capitals] == ["aB"]
    assert [s.name[:2] for s in capitals.missing] == ["ab"]


# --- Something-Something v2 -----------------------------------------------------------------------


def test_ssv2_class_is_the_template_without_brackets(tmp_path):
    one = {"id": "7", "label": "pushing a cup", "template": "Pushing [something]"}
    two = {"id": "8", "label": "", "template": "Approaching [something]", "placeholders": ["x"]}
    annotations = ssv2(tmp_path, json.dumps([one, two], indent=1))
    root = touch(tmp_path / "v", "7.webm", "8.mp4", "9.webm")
    catalog = data.read_ssv2(annotations, root)
    assert found(catalog, root) == [("7.webm", 1), ("8.mp4", 0)]
    assert catalog.class_names == ["Approaching something", "Pushing something", "Dropping it"]
    assert [s.line for s in catalog] == [2, 7]

    test = write(tmp_path / "short" / "test.json", '[{"id": 9}]')
    labels = write(tmp_path / "short" / "labels.json", '{"A [something]": "0"}')
    catalog = data.read_ssv2(test, root)
    assert catalog[0].label is None and catalog.class_names == ["A something"]
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="labels.json"):
        data.read_ssv2(test, root)
    other = write(tmp_path / "mine.json", '{"X": "1", "Pushing something": "0"}')
    assert data.read_ssv2(test, root, classes=other).class_names == ["Pushing something", "X"]


# --- EPIC-Kitchens --------------------------------------------------------------------------------


def test_epic_videos_are_cut_by_their_time_stamps(tmp_path):
    annotations = epic(tmp_path, EPIC_ROW)
    places = ["P01/P01_101.MP4", "P01/videos/P01_101.MP4", "P01_101.mp4", "videos/P01/P01_101.mkv"]
    for number, place in enumerate(places):
        root = touch(tmp_path / str(number), place)
        catalog = data.read_epic(annotations, root)
        assert found(catalog, root) == [(place, {"verb": 1, "noun": 2})] and not catalog.notes
        segment = catalog[0]
        assert (segment.start, segment.end, segment.fps) == (0.5, 2.25, None)
        assert segment.name == "P01_101_0"
        assert catalog.class_names == {"verb": ["put", "take"], "noun": ["lid", "pan", "cup"]}
        touch(root, "P01/rgb_frames/P01_101/frame_0000000001.jpg")
        catalog = data.read_epic(annotations, root)  # a video goes before its frames
        assert catalog[0] == segment and "several files" in catalog.report()
    row = EPIC_ROW.replace("00:00:00.5", "00:00:00")
    times = {"01:02:03.5": 3723.5, "00:00:09": 9, "00:10:00.123456": 600.123456, "0:0:1.": 1}
    for text, seconds in times.items():
        catalog = data.read_epic(epic(tmp_path, row.replace("00:00:02.25", text)), root)
        assert catalog[0].end == pytest.approx(seconds, abs=1e-9)
    row, header = EPIC_ROW.split(',"take', 1)[0], EPIC_HEADER.split(",narration,")[0]
    catalog = data.read_epic(epic(tmp_path, row, header=f"{header}\n"), root)  # a test set
    assert catalog[0].label is None and len(catalog.class_names["noun"]) == 3


def test_epic_frames_count_from_one(tmp_path):
    for number, (video, fps, rate) in enumerate(
        [
            *(("P01_101", None, 50), ("P01_01", None, 60000 / 1001), ("P01_101", 25, 25)),
            *(("P01_01", {"P01_01": 30}, 30), ("P01_101", {"P01_01": 30}, 50)),
        ]
    ):
        annotations = epic(tmp_path, EPIC_ROW.replace("P01_101", video))
        for place in (f"P01/rgb_frames/{video}", f"P01/{video}", video):
            root = touch(tmp_path / f"{number}{place}", f"{place}/frame_0000000001.jpg")
            segment = data.read_epic(annotations, root, fps=fps)[0]
            assert segment.path == root / place and segment.fps == pytest.approx(rate)
            assert (segment.start, segment.end) == (25 / segment.fps, 112 / segment.fps)


# --- Moments, UCF101, HMDB51 ----------------------------------------------------------------------


def test_moments_takes_the_categories_order_not_the_alphabet(tmp_path):
    annotations = moments(tmp_path, "baking/a.mp4,baking,3,0\nasking/b.mp4,asking,2,1\n")
    root = touch(tmp_path / "v", "baking/a.webm", "asking/b.mp4")
    catalog = data.read_moments(annotations, root)
    assert found(catalog, root) == [("baking/a.webm", 1), ("asking/b.mp4", 0)]
    assert catalog.class_names == ["asking", "baking"]


def test_ucf101_counts_from_one_and_test_lists_need_no_number(tmp_path):
    train = ucf101(tmp_path, "Diving/v_Diving_g08_c01.avi 2\r\nArchery/v_Archery_g08_c01.avi 1\r\n")
    test = write(tmp_path / "testlist01.txt", "Typing/v_Typing_g01_c01.avi\n")
    stems = "Diving/v_Diving_g08_c01.avi", "Archery/v_Archery_g08_c01.mp4"
    root = touch(tmp_path / "v", *stems, "Typing/v_Typing_g01_c01.avi")
    assert [s.label for s in data.read_ucf101(train, root)] == [1, 0]
    assert [s.label for s in data.read_ucf101(test, root)] == [2]


def test_hmdb51_splits_and_marks(tmp_path):
    write(tmp_path / "l/wave_test_split1.txt", "#a (x)&!_1.avi 1 \nb.avi 2 \nc.avi 0 \n")
    write(tmp_path / "l/hug_test_split1.txt", "d.avi 1 \n")
    write(tmp_path / "l/wave_test_split2.txt", "b.avi 1 \n")
    root = touch(tmp_path / "v", "wave/#a (x)&!_1.avi", "wave/b.avi", "wave/c.avi", "hug/d.avi")
    for split, subset, expected in [
        (1, "train", [("hug/d.avi", 0), ("wave/#a (x)&!_1.avi", 1)]),
        (1, "test", [("wave/b.avi", 1)]),
        (2, "train", [("wave/b.avi", 0)]),
    ]:
        catalog = data.read_hmdb51(tmp_path / "l", root, split=split, subset=subset)
        assert found(catalog, root) == expected
        assert catalog.class_names == ["hug", "wave"][split - 1 :]


# --- plain lists and folders ----------------------------------------------------------------------


def test_plain_lists(tmp_path):
    root, file = touch(tmp_path / "v", "a b.mp4", "c.mp4"), tmp_path / "train.csv"
    for text, labels, names in [
        ("a b.mp4 2\nc.mp4 0\n", [2, 0], ["0", "1", "2"]),
        ("a b.mp4,2\nc.mp4,0\n", [2, 0], ["0", "1", "2"]),
        ("a b.mp4\t2\r\nc.mp4\t0", [2, 0], ["0", "1", "2"]),
        ("a b.mp4,run\nc.mp4,jump", [1, 0], ["jump", "run"]),
        ('path,label\n"a b.mp4",run\nc.mp4,"jump"\n', [1, 0], ["jump", "run"]),
    ]:
        catalog = data.read_csv(write(file, text), root)
        assert [s.label for s in catalog] == labels and catalog.class_names == names
        assert [s.path.name for s in catalog] == ["a b.mp4", "c.mp4"]
    numbered = data.read_csv(write(file, "c.mp4 7"), root, classes=["3", "7"])
    assert numbered[0].label == 1  # the name of a class goes before its number
    text = "path,label,start,end\nc.mp4,0,1.5,3\nc.mp4,0,3,\nc.mp4,0,,2\n"
    catalog = data.read_csv(write(file, text), root)
    assert [(s.start, s.end) for s in catalog] == [(1.5, 3), (3, None), (None, 2)]


LISTS = [  # text, class names, what is noted
    # headers, in any order, under the names that people use
    ("filename,label\nFILE,run\n", ["run"], ""),
    ("Video Name;Class\nFILE;run\n", ["run"], ""),
    ("label,path\nrun,FILE\n", ["run"], ""),
    ("clip_name,clip_path,label\nx,FILE,run\n", ["run"], "columns that are not used: clip_name"),
    (",filename,label\n0,FILE,run\n", ["run"], ""),  # pandas with its index
    ("path\tlabel\nFILE\trun\n", ["run"], ""),
    ("video category\nFILE run\n", ["run"], ""),
    ('"file-path","action"\n"FILE","run"\n', ["run"], ""),
    ("path,label,start_frame\nFILE,run,3\n", ["run"], "columns that are not used: start_frame"),
    ("video_id,class_id,class_name\nFILE,0,run\n", ["run"], "columns that are not used: class_id"),
    # what is between the columns
    ("FILE;0\n", ["0"], ""),
    ("FILE|0\n", ["0"], ""),
    ("FILE\thigh jump\n", ["high jump"], ""),
    ("FILE;high, jump\n", ["high, jump"], ""),
    ("FILE,high; jump\n", ["high; jump"], ""),
    ('"FILE" 0\n', ["0"], ""),
    *((text, ["0"], "") for text in ("a,b.mp4 0\n", "a,b.mp4;0\n", '"a,b.mp4",0\n', "a,b.mp4\t0")),
    ("\ufeffFILE ; run \r\n", ["run"], ""),
    # places
    ("ROOT/FILE,run\n", ["run"], ""),
    ("x/../FILE,run\n", ["run"], ""),
    ("REAL/FILE,run\n", ["run"], ""),
    # numbers as pandas and numpy write them
    ("FILE,0.0\n", ["0"], ""),
    ("FILE,0.000000000000000000e+00\n", ["0"], ""),
]


def test_lists_as_people_write_them(tmp_path):
    real = touch(tmp_path / "real", "a.mp4", "a,b.mp4", "x/y.mp4")
    root = tmp_path / "root"
    root.symlink_to(real)
    for text, names, note in LISTS:
        file = "a,b.mp4" if "a,b.mp4" in text else "a.mp4"
        written = text.replace("FILE", file).replace("ROOT", str(root))
        path = write(tmp_path / "l.csv", written.replace("REAL", str(real)))
        catalog = data.read_csv(path, root)
        assert [s.name for s in catalog] == [file] and catalog[0].label == 0, text
        assert catalog.class_names == names and not catalog.missing
        assert [note] * bool(note) == catalog.notes


def test_numbers_are_put_in_order_as_numbers(tmp_path):
    names = [str(number) for number in range(12)]
    root = touch(tmp_path / "v", *(f"{name}/{name}_000000_000010.mp4" for name in names))
    for ending in ("", ".0", ".", "e0", ".0E+00"):
        rows = "".join(f"{n}/{n}_000000_000010.mp4,{n}{ending}\n" for n in names)
        catalog = data.read_csv(write(tmp_path / "l.csv", rows), root)
        assert [s.label for s in catalog] == list(range(12)) and catalog.class_names == names
    assert data.read_folder(root).class_names == names
    table = kinetics(tmp_path, *(f"{name},{name},0,10,t" for name in reversed(names)))
    assert data.read_kinetics(table, root).class_names == names
    row = EPIC_ROW.replace(",take,1,", ",take,1.0,").replace(",26,112,", ",26.0,112.0,")
    frames = touch(tmp_path / "frames", "P01_101/frame_0000000001.jpg")
    assert data.read_epic(epic(tmp_path, row), frames)[0].label == {"verb": 1, "noun": 2}
    numbered = moments(tmp_path, "baking/a.mp4,baking,3,0\n", "baking,1.0\nasking,0.0\n")
    assert data.read_moments(numbered, touch(root, "baking/a.mp4")).class_names[1] == "baking"


def test_letters_with_accents_are_the_same_however_they_are_written(tmp_path):
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for here, there in ((one, other), (other, one)):
        root = touch(tmp_path / f"{len(here)}{len(there)}", f"{there}/{there}.mp4", "b.mp4")
        folder = root / there
        path = write(tmp_path / "l.csv", f"{here}/{here}.mp4,{here}\nb.mp4,{there}\n")
        catalog = data.read_csv(path, root)
        assert not catalog.missing and catalog[0].path.parent == folder
        assert catalog.class_names == [one] and [s.label for s in catalog] == [0, 0]
        assert data.read_csv(path, root, classes=["x", there])[0].label == 1
        assert data.read_folder(root, classes=["x", here])[0].label == 1
        assert data.read_folder(root).class_names == [one]
        annotations = kinetics(tmp_path, f"{here},v,0,10,t")
        touch(root, f"{there}/v_000000_000010.mp4", "aaa/v_000000_000010.mp4")
        assert data.read_kinetics(annotations, root)[0].path.parent == folder


def test_other_delimiters_in_the_owners_files(tmp_path):
    root = touch(tmp_path / "v", *PRESENT)
    for number, delimiter in enumerate((";", "\t")):
        table = kinetics(tmp_path, "x,a,0,10,t")
        write(table, table.read_text().replace(",", delimiter))
        assert format_of(table) == "kinetics" and data.read_kinetics(table, root)[0].label == 0
        files = moments(tmp_path / str(number), "baking/a.mp4,baking,3,0\n"), EPIC_ROW
        for path in files[0].parent.iterdir():
            write(path, path.read_text().replace(",", delimiter))
        assert format_of(files[0]) == "moments" and data.read_moments(files[0], root)[0].label == 1
    listed = write(tmp_path / "trainlist01.txt", "Diving/v_a.avi,1\n")
    assert format_of(listed) == "csv" and data.read_annotations(listed, root)[0].label == 1


def test_every_list_may_name_folders_of_frames(tmp_path):
    annotations = every_format(tmp_path / "annotations")
    there = [f"{os.path.splitext(name)[0]}/img_00001.jpg" for name in PRESENT]
    root = touch(tmp_path / "v", *there)
    for name, (read, path) in annotations.items():
        if name == "epic":  # it has its own rates
            continue
        catalog = read(path, root, fps=25)
        assert (catalog[0].fps, len(catalog.missing)) == (25, 1) and catalog[0].path.is_dir(), name
        if name == "ssv2":
            assert read(path, root)[0].fps == 12
            continue
        with pytest.raises(data.AnnotationError, match="give their rate|not one video is"):
            read(path, root)
        both = touch(tmp_path / name, *PRESENT, *there)
        assert read(path, both, fps=25)[0].fps is None  # the video goes before its frames
    deep = touch(tmp_path / "deep", "train/x/a_000000_000010/img_00001.jpg")
    assert data.read_kinetics(annotations["kinetics"][1], deep, fps=30)[0].fps == 30
    root = touch(tmp_path / "folder", "run/v1/1.jpg", "run/v1/2.jpg", "run/b.mp4", "run/1.jpg")
    catalog = data.read_folder(touch(root, "jump/session/v2/1.png"), fps=12.5)
    assert [(s.name, s.label, s.fps) for s in catalog] == [
        ("jump/session/v2", 0, 12.5), ("run/b.mp4", 1, None), ("run/v1", 1, 12.5)
    ]  # fmt: skip
    assert "1 .jpg" in catalog.report()
    listed = write(tmp_path / "stop.txt", "run/v1 stop\njump/session/v2 start\n")  # no header
    assert data.read_csv(listed, root, fps=5).class_names == ["start", "stop"]


def test_splits_are_columns_lists_or_folders(tmp_path):
    root = touch(tmp_path / "v", *(f"x/{name}_000000_000010.mp4" for name in "ab"))
    table = kinetics(tmp_path, "x,a,0,10,train", "y,b,0,10,val")
    rows = "path,label,Set\nx/a_000000_000010.mp4,x,train\nx/b_000000_000010.mp4,y,val\n"
    listed = write(tmp_path / "l.csv", rows)
    for read, annotations in ((data.read_kinetics, table), (data.read_csv, listed)):
        found = [len(read(annotations, root, split=split)) for split in ("train", "val", "all")]
        assert found == [1, 1, 2]
        names = [read(annotations, root, split=split).class_names for split in ("train", "val")]
        assert names[0] == names[1]  # the labels of the whole file
    lists = ucf101(tmp_path / "u", "Diving/v_a.avi 2\n").parent
    write(lists / "testlist01.txt", "Diving/v_b.avi\n")
    write(lists / "testlist02.txt", "Diving/v_c.avi\n")
    touch(root, *(f"Diving/v_{name}.avi" for name in "abc"))
    assert format_of(lists) == "ucf101"
    second = {"split": 2, "subset": "test"}
    for options, name in (({}, "a"), ({"subset": "test"}, "b"), (second, "c")):
        catalog = data.read_annotations(lists, root, **options)
        assert [s.path.stem for s in catalog] == [f"v_{name}"] and catalog[0].label == 1


def test_folders_that_systems_make_are_no_classes(tmp_path):
    system = (
        "__MACOSX",
        "@eaDir",
        "$RECYCLE.BIN",
        "lost+found",
        "#recycle",
        "System Volume Information",
    )
    root = touch(tmp_path, "run/a.mp4", "jump/b.mp4", *(f"{name}/run/c.mp4" for name in system))
    touch(root, "run/@eaDir/a.mp4/SYNOVIDEO.mp4", "jump/__macosx/._b.mp4", "run/._a.mp4")
    catalog = data.read_folder(root)
    assert catalog.class_names == ["jump", "run"] and len(catalog) == 2
    assert f"folders that operating systems make: {', '.join(sorted(system))}" in catalog.report()
    (root / "jump" / "link.mp4").symlink_to(root / "run" / "a.mp4")
    (root / "jump" / "more").symlink_to(root / "run")
    report = data.read_folder(root).report()
    assert "1 file have several names, by links; e.g. jump/link.mp4 and jump/more/a.mp4" in report


def test_what_counts_as_the_same_name(tmp_path):
    others = ["x/a-b.mp4", "x/a.txt", "a.mp4", "x/y/a.mp4", "x/a", "x/a.1.mp4"]
    for number, (asked, taken, there) in enumerate(
        [
            ("my class/a b.mp4", "my_class/a_b.webm", []),
            ("my_class/a_b.avi", "my class/a b.mp4", []),
            ("x/a.avi", "x/a.AVI", []),
            ("./x//a.mp4", "x/a.mp4", []),
            ("x/a.mp4", "x/a.mp4", ["x/a.webm"]),
            ("x y/a.mp4", "x y/a.mp4", ["x_y/a.mp4"]),
            ("x/a.1", "x/a.1", []),
            ("x/a.mp4", None, ["X/a.mp4"]),
            ("x/a.mp4", None, ["x/A.mp4"]),
            ("x/a.mp4", None, others),
            ("a.avi", "a.mkv", ["a.webm"]),  # which is reported
            ("x_y z/c.mp4", "x y z/c.mp4", ["x_y_z/c.mp4"]),
        ]
    ):
        root = touch(tmp_path / str(number), "certain.mp4", *there, *filter(None, [taken]))
        catalog = data.read_csv(write(tmp_path / "l.csv", f"certain.mp4,0\n{asked},0\n"), root)
        paths = [os.path.relpath(s.path, root) for s in catalog[1:]]
        assert paths == [taken] * bool(taken) and len(catalog.missing) == (taken is None)
        several = f"several files for 1 name; e.g. took {root / str(taken)}, not"
        assert (several in catalog.report()) == bool(catalog.notes) == (number > 9)


def test_a_folder_per_class_with_splits_and_links(tmp_path):
    root = touch(
        tmp_path / "a",
        *("run/deep/er/b.mp4", "run/a.MOV", "jump/.hidden.mp4", "jump/c.avi", "empty/x.txt"),
        *(".git/config.mp4", "run/notes.md", "stray.mp4"),
    )
    catalog = data.read_folder(root)
    assert catalog.class_names == ["empty", "jump", "run"]
    assert found(catalog, root) == [("jump/c.avi", 1), ("run/a.MOV", 2), ("run/deep/er/b.mp4", 2)]
    assert "names: 1 .mp4, 1 .txt, 1 .md" in catalog.report()
    assert "without a segment: 'empty'" in catalog.report()

    root = touch(tmp_path / "b", "train/run/a.mp4", "val/run/b.mp4", "train/jump/c.mp4")
    with pytest.raises(data.AnnotationError, match="split='train'"):
        data.read_folder(root)
    train = data.read_folder(root, split="train")
    val = data.read_folder(root, split="val", classes=train.class_names)
    assert [s.label for s in val] == [1]  # not 0: val has no jump
    (root / "train" / "run" / "again").symlink_to(root / "train")  # not followed round and round
    assert found(data.read_folder(root, split="train"), root) == found(train, root)


# --- what all have in common ----------------------------------------------------------------------


def every_format(folder):
    """(reader, annotations) of each format that has a list; one video is there, one not."""
    write(folder / "h/wave_test_split1.txt", "a.avi 1\nb.avi 1\n")
    items = '[{"id": "a", "template": "Dropping [it]"},{"id": "b", "template": "Dropping it"}]'
    two_moments = "baking/a.mp4,baking,3,0\nbaking/b.mp4,baking,1,1\n"
    two_epic = EPIC_ROW, EPIC_ROW.replace("P01_101", "P01_102")
    return {
        "kinetics": (data.read_kinetics, kinetics(folder, "x,a,0,10,t", "x,b,0,10,t")),
        "ssv2": (data.read_ssv2, ssv2(folder, items)),
        "epic": (data.read_epic, epic(folder, *two_epic)),
        "moments": (data.read_moments, moments(folder, two_moments)),
        "ucf101": (data.read_ucf101, ucf101(folder, "Diving/v_a.avi 2\nDiving/v_b.avi 2\n")),
        "hmdb51": (data.read_hmdb51, folder / "h"),
        "csv": (data.read_csv, write(folder / "plain.csv", "a.mp4 0\nb.mp4 1\n")),
    }


PRESENT = ["a_000000_000010.mp4", "a.webm", "P01_101.MP4", "baking/a.mp4", "Diving/v_a.avi"]
PRESENT += ["wave/a.avi", "a.mp4"]


def test_every_format_keeps_what_is_missing_and_tells_its_content(tmp_path):
    root, nothing, saved = touch(tmp_path / "v", *PRESENT), tmp_path / "none", tmp_path / "c.json"
    nothing.mkdir()
    for name, (read, annotations) in every_format(tmp_path / "annotations").items():
        catalog = read(annotations, root)
        assert (len(catalog), len(catalog.missing)) == (1, 1)
        missing = catalog.missing[0]
        assert not missing.path.exists() and missing.line and str(missing.path) in catalog.report()
        assert "1 segments missing (50.0 %)" in catalog.report()
        with pytest.raises(data.AnnotationError, match="no video of its 2 segments is") as error:
            read(annotations, nothing)
        assert str(error.value).count(str(nothing)) == 2
        assert format_of(annotations) == name
        assert list(data.read_annotations(annotations, root)) == list(catalog)
        catalog.save_classes(saved)
        for classes in (catalog.class_names, saved, str(saved)):
            again = read(annotations, root, classes=classes)
            assert again.class_names == catalog.class_names
            assert [s.label for s in again] == [s.label for s in catalog]


def test_marks_line_ends_and_blank_lines_change_nothing(tmp_path):
    root = touch(tmp_path / "videos", *PRESENT)
    for number, changed in enumerate(
        [
            lambda text: b"\xef\xbb\xbf" + text,
            lambda text: text.replace(b"\n", b"\r\n"),
            lambda text: text.replace(b"\n", b"\n\n \n"),
        ]
    ):
        formats = every_format(tmp_path / str(number))
        before = {name: list(read(path, root)) for name, (read, path) in formats.items()}
        for path in filter(os.path.isfile, (tmp_path / str(number)).rglob("*")):
            path.write_bytes(changed(path.read_bytes()))
        for name, (read, annotations) in formats.items():
            for one, two in zip(before[name], read(annotations, root), strict=True):
                assert (one.path, one.label, one.start) == (two.path, two.label, two.start), name


def test_a_catalog_is_a_sequence_and_a_full_disk_leaves_saved_classes(tmp_path, monkeypatch):
    root = touch(tmp_path / "v", "jump/a.mp4", "jump/b.mp4", "run/c.mp4")
    catalog, target = data.read_folder(root), write(tmp_path / "classes.json", "old")
    assert catalog[-1].label == 1 and catalog[-1] in catalog and len(catalog[:2]) == 2
    assert catalog[:2].class_names == catalog.class_names
    assert repr(catalog) == f"Catalog('{root}': 3 segments)"
    assert "2 classes, 1 to 2 segments each: fewest 'run', most 'jump'" in catalog.report()
    assert catalog[1:].report().endswith("2 classes, 1 to 1 segments each")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        catalog.save_classes(target)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.json", "v"]


def test_folders_are_listed_once_not_once_a_row(tmp_path, monkeypatch):
    root = touch(tmp_path / "v", *(f"x/v{n}_000000_000010.mp4" for n in range(300)))
    annotations = kinetics(tmp_path, *(f"x,v{n},0,10,t" for n in range(300)))
    lines = "".join(f"x/v{n}_000000_000010.avi 0\n" for n in range(300))
    plain, calls = write(tmp_path / "plain.txt", lines), []

    def count(name, real):
        monkeypatch.setattr(os, name, lambda *all, **more: calls.append(name) or real(*all, **more))

    count("scandir", os.scandir)
    count("stat", os.stat)
    assert len(data.read_kinetics(annotations, root)) == len(data.read_csv(plain, root)) == 300
    assert calls.count("scandir") == 4 and calls.count("stat") < 40


def test_a_fingerprint_is_of_the_content_not_of_its_place(tmp_path):
    text = "path,label,start,end\nb.mp4,run,0,2\na.mp4,jump,,\n"

    def made(place, text=text, size=3, **options):
        root = tmp_path / place
        for name in ("a.mp4", "b.mp4"):
            write(root / name, b"x" * size)
        return data.read_csv(write(root / "l.csv", text), root, **options)

    print_of = made("0").fingerprint()
    assert print_of == made("elsewhere/1").fingerprint() and len(print_of) == 64
    outside = made("2", text=text.replace("a.mp4", f"{tmp_path}/2/a.mp4"), allow_outside=True)
    assert outside.fingerprint() == print_of  # an absolute folder is a place, too
    for number, changes in enumerate(
        [
            {"text": text.replace("a.mp4,jump", "a.mp4,run")},
            {"text": text.replace("0,2", "0,3")},
            {"text": text.replace("b.mp4,run,0,2\n", "") + "b.mp4,run,0,2\n"},  # another order
            {"text": text.replace("b.mp4", "c.mp4")},
            {"size": 4},
            {"classes": ["jump", "run", "swim"]},
        ]
    ):
        assert made(f"other/{number}", **changes).fingerprint() != print_of, changes
    folder = touch(tmp_path / "frames", "1.jpg")
    frames = data.Catalog([data.Segment(folder, 0, fps=25)], ["jump"], tmp_path)
    before = frames.fingerprint()
    touch(folder, "2.jpg")
    assert frames.fingerprint() != before


def test_a_split_keeps_shares_and_sources(tmp_path):
    random = np.random.default_rng(0)
    for trial in range(40):
        share, classes = random.uniform(0.05, 0.95), int(random.integers(1, 6))
        segments = []
        for label in range(classes):
            for source in range(int(random.integers(2, 30))):
                path = tmp_path / f"v_{label}_g{source}.mp4"
                for clip in range(int(random.integers(1, 5))):
                    segments.append(data.Segment(path, label, clip, clip + 1, name=f"{clip}"))
        random.shuffle(segments)
        catalog = data.Catalog(segments, list("abcde"[:classes]), tmp_path)
        train, validation = catalog.split(share, seed=trial)
        assert {*map(id, train)}.isdisjoint({*map(id, validation)})
        assert len(train) + len(validation) == len(catalog)
        assert not {s.path for s in train} & {s.path for s in validation}
        for part in (train, validation):  # in their order
            order = list(map(segments.index, part))
            assert order == sorted(order) and part.class_names == catalog.class_names
        for label in range(classes):
            all_of, out = (sum(s.label == label for s in part) for part in (catalog, validation))
            assert 0 < out < all_of and abs(out - share * all_of) <= 4  # the longest source
        again = catalog.split(share, seed=trial)
        assert [list(part) for part in again] == [list(train), list(validation)]
    pairs = data.Catalog([data.Segment(tmp_path / f"{n}.mp4", n % 3) for n in range(6)], "abc", "x")
    for share in (0.01, 0.5, 0.99):  # of two sources one each
        assert [sorted(s.label for s in part) for part in pairs.split(share)] == [[0, 1, 2]] * 2
    many = data.Catalog([data.Segment(tmp_path / f"{n}.mp4", n % 2) for n in range(100)], "ab", "x")
    drawn = [frozenset(s.path for s in many.split(seed=seed)[1]) for seed in range(5)]
    assert len(set(drawn)) == 5 and {len(each) for each in drawn} == {20}


def test_what_a_split_keeps_together(tmp_path):
    names = [f"v_Jump_g{source:02d}_c{clip:02d}.avi" for source in range(5) for clip in range(4)]
    root = touch(tmp_path / "v", *(f"jump/{name}" for name in names), "run/alone.mp4")
    catalog = data.read_folder(root)
    assert "to keep clips of one source" in catalog.split()[1].report()
    source = lambda segment: segment.name[:16]  # noqa: E731
    for group in (r"_g(\d+)_c\d+|alone", r".*_g\d+|alone", source):
        for part in (parts := catalog.split(0.4, group=group)):
            assert len({source(s) for s in part} & {source(s) for s in parts[1]}) in (0, 2)
            assert "to keep clips" not in part.report()
        assert [len(part) for part in parts] == [13, 8]  # the one of "run" is to be trained on
        assert "1 class without a segment: 'run'" in parts[1].report()
    with pytest.raises(ValueError, match=r"group is '_g.*', but nothing matches it in 'run/al"):
        catalog.split(group=r"_g\d+")
    with pytest.raises(
        ValueError, match=r"group is '\(_g', which is not a regular expression: missing \)"
    ):
        catalog.split(group="(_g")
    for share in (0, 1, -1, 20):
        with pytest.raises(ValueError, match="must be a share between 0 and 1"):
            catalog.split(share)
    with pytest.raises(ValueError, match="no class has two source videos"):
        data.read_folder(touch(tmp_path / "w", "a/1.mp4", "b/2.mp4")).split()
    (tmp_path / "w" / "a" / "2.mp4").symlink_to(tmp_path / "w" / "a" / "1.mp4")
    with pytest.raises(ValueError, match="no class has two source videos"):  # a link is the same
        data.read_folder(tmp_path / "w").split()
    missing = data.read_csv(
        write(tmp_path / "l.csv", "a/1.mp4,0\nb/2.mp4,0\nc.mp4,0\n"), tmp_path / "w"
    )
    assert [len(part.missing) for part in missing.split(0.5)] == [1, 0]


def test_a_split_by_several_heads_and_long_videos(tmp_path):
    random = np.random.default_rng(1)
    segments = [
        data.Segment(tmp_path / f"P{n % 20}.mp4", {"verb": int(v), "noun": int(m)}, n, n + 1)
        for n, (v, m) in enumerate(random.integers(0, (5, 60), (600, 2)))
    ]
    names = {"verb": list("abcde"), "noun": [str(n) for n in range(60)]}
    train, validation = data.Catalog(segments, names, tmp_path).split(0.25)
    assert not {s.path for s in train} & {s.path for s in validation}
    for verb in range(5):
        all_of, out = (
            sum(s.label["verb"] == verb for s in part) for part in (segments, validation)
        )
        assert 0.1 < out / all_of < 0.45

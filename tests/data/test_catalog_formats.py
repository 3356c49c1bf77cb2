"""Each data set's own files give the right videos, labels, times and class order."""

import json
import os

import pytest
from data_sets import EPIC_HEADER, EPIC_ROW, epic, kinetics, moments, ssv2, touch, ucf101, write

from vivit_lab.data import (
    AnnotationError,
    Catalog,
    read_annotations,
    read_csv,
    read_epic,
    read_folder,
    read_hmdb51,
    read_kinetics,
    read_moments,
    read_ssv2,
    read_ucf101,
)
from vivit_lab.data.formats import format_of


def found(catalog: Catalog, root) -> list:
    return [(os.path.relpath(s.path, root), s.label) for s in catalog]


# --- Kinetics -------------------------------------------------------------------------------------

CUT = "abc-_123456_000010_000020.mp4"


def test_kinetics_finds_a_cut_video_wherever_mirrors_put_it(tmp_path):
    annotations = kinetics(tmp_path, "high jump,abc-_123456,10,20,train")
    stem = CUT.removesuffix(".mp4")
    for number, place in enumerate(
        [
            *(CUT, f"high jump/{CUT}", f"high_jump/{CUT}", f"train/high jump/{CUT}"),
            *(f"train/{stem}.webm", f"{stem}.MKV"),
        ]
    ):
        root = touch(tmp_path / str(number), place, f"one/folder/deep/{CUT}")
        catalog = read_kinetics(annotations, root)
        assert found(catalog, root) == [(place, 0)]
        segment = catalog[0]
        assert (segment.start, segment.end, segment.line) == (None, None, 2)
        assert segment.name == stem and segment.path.is_absolute() and not catalog.notes


def test_kinetics_whole_videos_are_cut_unless_they_are_cut_already(tmp_path):
    annotations, root = kinetics(tmp_path, "yoga,abc,10,20,train"), touch(tmp_path, "abc.mp4")
    for trimmed, times in ((False, (10, 20)), (True, (None, None))):
        catalog = read_kinetics(annotations, root, trimmed=trimmed)
        assert (catalog[0].start, catalog[0].end) == times
    segment = read_kinetics(annotations, touch(root, "abc_000010_000020.mp4"))[0]
    assert segment.path.name == "abc_000010_000020.mp4" and segment.start is None


def test_kinetics_takes_further_columns_and_sorts_the_class_names(tmp_path):
    header = "split,is_cc,label,youtube_id,time_start,time_end\n"
    rows = ["val,0,yoga,a,0,10", 'val,1,"jump, high",b,0,10', "val,0,Archery,c,0,10"]
    root = touch(tmp_path, *(f"{name}_000000_000010.mp4" for name in "abc"))
    catalog = read_kinetics(kinetics(tmp_path, *rows, header=header), root)
    assert catalog.class_names == ["Archery", "jump, high", "yoga"]
    assert [segment.label for segment in catalog] == [2, 1, 0]


def test_kinetics_test_sets_have_no_label(tmp_path):
    header = "youtube_id,time_start,time_end,split\n"
    annotations = kinetics(tmp_path, "a,0,10,test", header=header)
    root = touch(tmp_path, "a_000000_000010.mp4")
    assert read_kinetics(annotations, root)[0].label is None
    assert read_kinetics(annotations, root, classes=["yoga"]).class_names == ["yoga"]
    assert "no labels" in read_kinetics(annotations, root, classes=["yoga"]).report()


def test_kinetics_ids_that_differ_only_in_capitals_are_two_videos(tmp_path):
    annotations = kinetics(tmp_path, "x,aB,0,10,t", "x,ab,0,10,t")
    catalog = read_kinetics(annotations, touch(tmp_path, "aB_000000_000010.mp4"))
    assert [s.name[:2] for s in catalog] == ["aB"] and [s.name[:2] for s in catalog.missing] == [
        "ab"
    ]


def test_kinetics_of_several_files_the_one_in_its_class_is_taken_and_said(tmp_path):
    annotations = kinetics(tmp_path, "high jump,a,0,10,t")
    file = "a_000000_000010.mp4"
    catalog = read_kinetics(annotations, touch(tmp_path, f"aaa/{file}", f"high_jump/{file}"))
    assert catalog[0].path.parent.name == "high_jump"
    assert "several files for 1 name;" in catalog.report() and "aaa" in catalog.report()


# --- Something-Something v2 -----------------------------------------------------------------------


def test_ssv2_class_is_the_template_without_brackets(tmp_path):
    one = {"id": "7", "label": "pushing a cup", "template": "Pushing [something]"}
    two = {"id": "8", "label": "", "template": "Approaching [something]", "placeholders": ["x"]}
    annotations = ssv2(tmp_path, json.dumps([one, two], indent=1))
    catalog = read_ssv2(annotations, touch(tmp_path / "v", "7.webm", "8.mp4"))
    assert found(catalog, tmp_path / "v") == [("7.webm", 1), ("8.mp4", 0)]
    assert catalog.class_names == ["Approaching something", "Pushing something", "Dropping it"]
    assert [s.line for s in catalog] == [2, 7]


def test_ssv2_test_set_and_short_file_names(tmp_path):
    write(tmp_path / "labels.json", '{"A [something]": "0"}')
    annotations = write(tmp_path / "test.json", '[{"id": 9}]')
    catalog = read_ssv2(annotations, touch(tmp_path, "9.webm"))
    assert catalog[0].label is None and catalog.class_names == ["A something"]


def test_ssv2_labels_may_be_given_as_a_file(tmp_path):
    annotations = write(tmp_path / "a.json", '[{"id": "1", "template": "X"}]')
    touch(tmp_path, "1.webm")
    with pytest.raises(FileNotFoundError, match="labels.json"):
        read_ssv2(annotations, tmp_path)
    other = write(tmp_path / "names" / "mine.json", '{"X": "1", "Y": "0"}')
    assert read_ssv2(annotations, tmp_path, classes=other)[0].label == 1


# --- EPIC-Kitchens --------------------------------------------------------------------------------


def test_epic_videos_are_cut_by_their_time_stamps(tmp_path):
    annotations = epic(tmp_path, EPIC_ROW)
    for number, place in enumerate(
        ["P01/P01_101.MP4", "P01/videos/P01_101.MP4", "P01_101.mp4", "videos/P01/P01_101.mkv"]
    ):
        root = touch(tmp_path / str(number), place)
        catalog = read_epic(annotations, root)
        assert found(catalog, root) == [(place, {"verb": 1, "noun": 2})]
        assert (catalog[0].start, catalog[0].end, catalog[0].fps) == (0.5, 2.25, None)
        assert catalog[0].name == "P01_101_0"
        assert catalog.class_names == {"verb": ["put", "take"], "noun": ["lid", "pan", "cup"]}


def test_epic_frames_count_from_one(tmp_path):
    number = 0
    for video, fps, rate in [
        ("P01_101", None, 50),
        ("P01_01", None, 60000 / 1001),
        ("P01_101", 25, 25),
        ("P01_01", {"P01_01": 30}, 30),
        ("P01_101", {"P01_01": 30}, 50),
    ]:
        annotations = epic(tmp_path, EPIC_ROW.replace("P01_101", video))
        for place in (f"P01/rgb_frames/{video}", f"P01/{video}", video):
            root, number = tmp_path / str(number), number + 1
            touch(root, f"{place}/frame_0000000001.jpg")
            segment = read_epic(annotations, root, fps=fps)[0]
            assert segment.path == root / place and segment.fps == pytest.approx(rate)
            assert (segment.start, segment.end) == (25 / segment.fps, 112 / segment.fps)


def test_epic_a_video_goes_before_its_frames_and_that_is_said(tmp_path):
    root = touch(tmp_path, "P01/P01_101.MP4", "P01/rgb_frames/P01_101/frame_0000000001.jpg")
    catalog = read_epic(epic(tmp_path, EPIC_ROW), root)
    assert catalog[0].path.name == "P01_101.MP4" and "several files" in catalog.report()
    assert (catalog[0].start, catalog[0].fps) == (0.5, None)


def test_epic_time_stamps_have_any_number_of_decimals(tmp_path):
    root, row = touch(tmp_path, "P01_101.MP4"), EPIC_ROW.replace("00:00:00.5", "00:00:00")
    for text, seconds in [
        *(("01:02:03.5", 3723.5), ("00:00:09", 9), ("00:10:00.123456", 600.123456), ("0:0:1.", 1)),
    ]:
        catalog = read_epic(epic(tmp_path, row.replace("00:00:02.25", text)), root)
        assert catalog[0].end == pytest.approx(seconds, abs=1e-9)


def test_epic_test_set_has_no_labels(tmp_path):
    header = EPIC_HEADER.split(",narration,")[0]
    row = "P01_101_0,P01,P01_101,00:00:01.0,00:00:00.5,00:00:02.25,26,112"
    annotations = epic(tmp_path, row, header=f"{header}\n")
    catalog = read_epic(annotations, touch(tmp_path, "P01_101.MP4"))
    assert catalog[0].label is None and len(catalog.class_names["noun"]) == 3


# --- Moments, UCF101, HMDB51 ----------------------------------------------------------------------


def test_moments_takes_the_categories_order_not_the_alphabet(tmp_path):
    annotations = moments(tmp_path, "baking/a.mp4,baking,3,0\nasking/b.mp4,asking,2,1\n")
    root = touch(tmp_path / "v", "baking/a.webm", "asking/b.mp4")
    catalog = read_moments(annotations, root)
    assert found(catalog, root) == [("baking/a.webm", 1), ("asking/b.mp4", 0)]
    assert catalog.class_names == ["asking", "baking"]


def test_ucf101_counts_from_one_and_test_lists_need_no_number(tmp_path):
    train = ucf101(tmp_path, "Diving/v_Diving_g08_c01.avi 2\r\nArchery/v_Archery_g08_c01.avi 1\r\n")
    test = write(tmp_path / "testlist01.txt", "Typing/v_Typing_g01_c01.avi\n")
    stems = "Diving/v_Diving_g08_c01.avi", "Archery/v_Archery_g08_c01.mp4"
    root = touch(tmp_path / "v", *stems, "Typing/v_Typing_g01_c01.avi")
    assert [s.label for s in read_ucf101(train, root)] == [1, 0]
    assert [s.label for s in read_ucf101(test, root)] == [2]


def test_hmdb51_splits_and_marks(tmp_path):
    write(tmp_path / "l/wave_test_split1.txt", "#a (x)&!_1.avi 1 \nb.avi 2 \nc.avi 0 \n")
    write(tmp_path / "l/hug_test_split1.txt", "d.avi 1 \n")
    write(tmp_path / "l/wave_test_split2.txt", "b.avi 1 \n")
    root = touch(tmp_path / "v", "wave/#a (x)&!_1.avi", "wave/b.avi", "wave/c.avi", "hug/d.avi")
    train = read_hmdb51(tmp_path / "l", root, split=1, subset="train")
    assert found(train, root) == [("hug/d.avi", 0), ("wave/#a (x)&!_1.avi", 1)]
    test = read_hmdb51(tmp_path / "l", root, split=1, subset="test")
    assert found(test, root) == [("wave/b.avi", 1)] and test.class_names == ["hug", "wave"]
    assert found(read_hmdb51(tmp_path / "l", root, split=2), root) == [("wave/b.avi", 0)]
    with pytest.raises(ValueError, match="subset is 'val'"):
        read_hmdb51(tmp_path / "l", root, subset="val")


# --- plain lists and folders ----------------------------------------------------------------------


def test_plain_lists(tmp_path):
    root = touch(tmp_path / "v", "a b.mp4", "c.mp4")
    for text, labels, names in [
        ("a b.mp4 2\nc.mp4 0\n", [2, 0], ["0", "1", "2"]),
        ("a b.mp4,2\nc.mp4,0\n", [2, 0], ["0", "1", "2"]),
        ("a b.mp4\t2\r\nc.mp4\t0", [2, 0], ["0", "1", "2"]),
        ("a b.mp4,run\nc.mp4,jump", [1, 0], ["jump", "run"]),
        ('path,label\n"a b.mp4",run\nc.mp4,"jump"\n', [1, 0], ["jump", "run"]),
    ]:
        catalog = read_csv(write(tmp_path / "train.csv", text), root)
        assert [s.label for s in catalog] == labels and catalog.class_names == names
        assert [s.path.name for s in catalog] == ["a b.mp4", "c.mp4"]
    numbered = read_csv(write(tmp_path / "l.csv", "c.mp4 7"), root, classes=["3", "7"])
    assert numbered[0].label == 1  # the name of a class goes before its number


def test_what_counts_as_the_same_name(tmp_path):
    for number, (asked, there, found_there) in enumerate(
        [
            ("my class/a b.mp4", ["my_class/a_b.webm"], "my_class/a_b.webm"),
            ("my_class/a_b.avi", ["my class/a b.mp4"], "my class/a b.mp4"),
            ("x/a.avi", ["x/a.AVI"], "x/a.AVI"),
            ("./x//a.mp4", ["x/a.mp4"], "x/a.mp4"),
            ("x/a.mp4", ["x/a.mp4", "x/a.webm"], "x/a.mp4"),
            ("x y/a.mp4", ["x y/a.mp4", "x_y/a.mp4"], "x y/a.mp4"),
            ("x/a.1", ["x/a.1"], "x/a.1"),
            ("x/a.mp4", ["X/a.mp4"], None),
            ("x/a.mp4", ["x/A.mp4"], None),
            ("x/a.mp4", ["x/a-b.mp4", "x/a.txt", "a.mp4", "x/y/a.mp4", "x/a", "x/a.1.mp4"], None),
        ]
    ):
        root = touch(tmp_path / str(number), "certain.mp4", *there)
        catalog = read_csv(write(tmp_path / "l.csv", f"certain.mp4,0\n{asked},0\n"), root)
        paths = [os.path.relpath(s.path, root) for s in catalog[1:]]
        assert paths == [found_there] * bool(found_there)
        assert len(catalog.missing) == (found_there is None) and not catalog.notes


def test_names_that_fit_several_files_are_reported(tmp_path):
    root = touch(tmp_path / "v", "a.mkv", "a.webm", "x_y_z/c.mp4", "x y z/c.mp4")
    catalog = read_csv(write(tmp_path / "l.csv", "a.avi,0\nx_y z/c.mp4,0\n"), root)
    assert [s.path.name for s in catalog] == ["a.mkv", "c.mp4"]
    assert "several files for 2 names;" in catalog.report() and "a.webm" in catalog.report()


def test_plain_list_with_times(tmp_path):
    text = "path,label,start,end\na.mp4,0,1.5,3\na.mp4,0,3,\na.mp4,0,,2\n"
    catalog = read_csv(write(tmp_path / "l.csv", text), touch(tmp_path, "a.mp4"))
    assert [(s.start, s.end) for s in catalog] == [(1.5, 3), (3, None), (None, 2)]


def test_folder_per_class(tmp_path):
    root = touch(
        tmp_path,
        *("run/deep/er/b.mp4", "run/a.MOV", "jump/.hidden.mp4", "jump/c.avi", "empty/x.txt"),
        *(".git/config.mp4", "run/notes.md", "stray.mp4"),
    )
    catalog = read_folder(root)
    assert catalog.class_names == ["empty", "jump", "run"]
    assert found(catalog, root) == [("jump/c.avi", 1), ("run/a.MOV", 2), ("run/deep/er/b.mp4", 2)]
    assert "class: 1 .mp4, 1 .txt, 1 .md" in catalog.report()
    assert "without a segment: 'empty'" in catalog.report()


def test_folder_with_splits(tmp_path):
    root = touch(tmp_path, "train/run/a.mp4", "val/run/b.mp4", "train/jump/c.mp4")
    with pytest.raises(AnnotationError, match="split='train'"):
        read_folder(root)
    train = read_folder(root, split="train")
    val = read_folder(root, split="val", classes=train.class_names)
    assert [s.label for s in val] == [1]  # not 0: val has no jump


def test_a_link_that_leads_back_up_is_not_followed_round_and_round(tmp_path):
    root = touch(tmp_path, "run/a.mp4")
    (root / "run" / "again").symlink_to(root)
    assert len(read_folder(root)) == 1


# --- what all have in common ----------------------------------------------------------------------


def every_format(folder):
    """(reader, annotations) of each format that has a list; one video is there, one not."""
    (folder / "l").mkdir(parents=True)
    write(folder / "h/wave_test_split1.txt", "a.avi 1\nb.avi 1\n")
    items = '[{"id": "a", "template": "Dropping [it]"},{"id": "b", "template": "Dropping it"}]'
    two_moments = "baking/a.mp4,baking,3,0\nbaking/b.mp4,baking,1,1\n"
    two_epic = EPIC_ROW, EPIC_ROW.replace("P01_101", "P01_102")
    return {
        "kinetics": (read_kinetics, kinetics(folder, "x,a,0,10,t", "x,b,0,10,t")),
        "ssv2": (read_ssv2, ssv2(folder, items)),
        "epic": (read_epic, epic(folder, *two_epic)),
        "moments": (read_moments, moments(folder, two_moments)),
        "ucf101": (read_ucf101, ucf101(folder, "Diving/v_a.avi 2\nDiving/v_b.avi 2\n")),
        "hmdb51": (read_hmdb51, folder / "h"),
        "csv": (read_csv, write(folder / "plain.csv", "a.mp4 0\nb.mp4 1\n")),
    }


PRESENT = ["a_000000_000010.mp4", "a.webm", "P01_101.MP4", "baking/a.mp4", "Diving/v_a.avi"]
PRESENT += ["wave/a.avi", "a.mp4"]


def test_every_format_keeps_what_is_missing_and_tells_its_content(tmp_path):
    root, nothing = touch(tmp_path / "videos", *PRESENT), tmp_path / "nothing"
    nothing.mkdir()
    for name, (read, annotations) in every_format(tmp_path / "annotations").items():
        catalog = read(annotations, root)
        assert (len(catalog), len(catalog.missing)) == (1, 1)
        assert not catalog.missing[0].path.exists() and catalog.missing[0].line
        assert "1 segments missing (50.0 %)" in catalog.report()
        assert str(catalog.missing[0].path) in catalog.report()

        with pytest.raises(AnnotationError, match="2 segments not one video is there") as error:
            read(annotations, nothing)
        assert str(error.value).count(str(nothing)) == 2

        assert format_of(annotations) == name
        assert list(read_annotations(annotations, root)) == list(catalog)

        saved = tmp_path / "classes.json"
        catalog.save_classes(saved)
        for classes in (catalog.class_names, saved, str(saved)):
            again = read(annotations, root, classes=classes)
            assert again.class_names == catalog.class_names
            assert [s.label for s in again] == [s.label for s in catalog]


def test_a_validation_file_that_lacks_a_class_does_not_shift_the_numbers(tmp_path):
    root = touch(tmp_path, *(f"{n}_000000_000010.mp4" for n in "abc"))
    train = kinetics(tmp_path, "jump,a,0,10,t", "run,b,0,10,t", "yoga,c,0,10,t")
    val = kinetics(tmp_path, "yoga,c,0,10,v", name="val.csv")
    names = read_kinetics(train, root).class_names
    assert read_kinetics(val, root, classes=names)[0].label == 2


def test_marks_line_ends_and_blank_lines_change_nothing(tmp_path):
    root = touch(tmp_path / "videos", *PRESENT)
    changes = {
        "bom": lambda data: b"\xef\xbb\xbf" + data,
        "windows": lambda data: data.replace(b"\n", b"\r\n"),
        "blank lines": lambda data: data.replace(b"\n", b"\n\n \n"),
    }
    for change, changed in changes.items():
        formats = every_format(tmp_path / change)
        before = {name: list(read(path, root)) for name, (read, path) in formats.items()}
        for path in filter(os.path.isfile, (tmp_path / change).rglob("*")):
            path.write_bytes(changed(path.read_bytes()))
        for name, (read, annotations) in formats.items():
            for one, two in zip(before[name], read(annotations, root), strict=True):
                assert (one.path, one.label, one.start) == (two.path, two.label, two.start), name


def test_a_catalog_is_a_sequence(tmp_path):
    root = touch(tmp_path, "jump/a.mp4", "jump/b.mp4", "run/c.mp4")
    catalog = read_folder(root)
    assert catalog[-1].label == 1 and catalog[-1] in catalog and len(catalog[:2]) == 2
    assert catalog[:2].class_names == catalog.class_names
    assert repr(catalog) == f"Catalog('{root}': 3 segments)"
    assert "2 classes, 1 to 2 segments each: fewest 'run', most 'jump'" in catalog.report()
    assert catalog[1:].report().endswith("2 classes, 1 to 1 segments each")


def test_a_full_disk_leaves_the_saved_classes_as_they_were(tmp_path, monkeypatch):
    catalog = read_folder(touch(tmp_path / "v", "jump/a.mp4"))
    target = write(tmp_path / "classes.json", "old")

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
    plain = write(tmp_path / "plain.txt", lines)
    calls = {"scandir": 0, "stat": 0}

    def count(name):
        real = getattr(os, name)

        def counted(*arguments, **options):
            calls[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, counted)

    count("scandir")
    count("stat")
    assert len(read_kinetics(annotations, root)) == len(read_csv(plain, root)) == 300
    assert calls["scandir"] == 4 and calls["stat"] < 40

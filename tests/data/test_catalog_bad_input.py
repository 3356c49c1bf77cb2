"""Whatever is wrong in an annotation file is named with file and line, and the rule."""

import pickle

import pytest
from data_sets import EPIC_ROW, epic, kinetics, moments, ssv2, touch, ucf101, write

from vivit_lab import data
from vivit_lab.data import AnnotationError

GOOD = "yoga,a,0,10,t"
BAKING, DIVING = "baking/a.mp4,baking,3,0", "Diving/v_a.avi 2"
ITEM = '{"id": "1", "template": "Dropping it"}'
FILES = ("a_000000_000010.mp4", "P01_101.MP4", "1.webm", "baking/a.mp4", "Diving/v_a.avi")
READERS = (data.read_kinetics, data.read_csv, data.read_ssv2, data.read_epic, data.read_ucf101)


def refused(read, annotations, root, line, *says, file=None, **options):
    """Reading raises AnnotationError at that file and line, and the sentence has these words."""
    with pytest.raises(AnnotationError) as error:
        read(annotations, root, **options)
    told = error.value
    place = f"{file or annotations}" + (f", line {line}: " if line else ": ")
    assert str(told).startswith(place) and told.line == line, f"{told} is not at {place}"
    for words in says:
        assert words in told.reason, f"{words!r} is not in: {told}"


@pytest.fixture
def root(tmp_path):
    return touch(tmp_path, *FILES, "wave/a.avi", "a.mp4")


# --- rows: what the sentence says -> rows that are refused so ------------------------------------

TWICE, OUTSIDE = "the same segment is in line ", "must lie below root"
BAD_SECONDS = ("ten", "nan", "inf", "1e3", "1_0", "-5", "٣", "9" * 400)
KINETICS = {
    "the row has 4 columns, but must have 5 (label,youtube_id,": ["yoga,b,0,10"],
    "has 6 columns": ["jump, high,b,0,10,t"],
    "but must be a number of seconds": [f"yoga,b,{bad},20,t" for bad in BAD_SECONDS],
    "time_start is empty": ["yoga,b,,20,t"],
    "ends at 20 s, but starts at": ["yoga,b,30,20,t", "yoga,b,20,20,t"],
    "label is empty": [",b,0,10,t"],
    OUTSIDE: ["yoga,../b,0,10,t", "yoga,/etc/b,0,10,t", "yoga,x\\..\\b,0,10,t"],
    f"{TWICE}2": ["yoga,a,0,10,t", "dance,a,0,10,t"],
    "quotation mark": ['"yoga,b,0,10,t\n'],
}
EPIC = {  # (old, new) in a good row
    "must be a time": [("00:00:00.5", bad) for bad in ("0.5", "-00:00:00.5", "00:61:00.5")],
    "ends at 0.25 s, but starts at 0.5 s": [("00:00:02.25", "00:00:00.25")],
    "verb_class is 2, but must be 0 to 1": [(",take,1,", ",take,2,")],
    "noun_class is 3, but must be 0 to 2": [(",cup,2,", ",cup,3,")],
    "noun_class is empty": [(",cup,2,", ",cup,,")],
    OUTSIDE: [(",P01_101,", ",../P01_101,")],
    f"{TWICE}2": [("P01_101_0", "same")],
}
EPIC_FRAMES = {
    "start_frame is '-26', but must be a whole number": [(",26,", ",-26,")],
    "stop_frame is '12.5', but must be a whole number": [(",112,", ",12.5,")],
    "ends at 0.5 s, but starts at 0.5 s": [(",112,", ",25,")],
}
MOMENTS = {
    "the row has 3 columns, but must have 4": ["baking/b.mp4,baking,1"],
    "Did you mean 'baking'?": ["baking/b.mp4,bakng,1,0"],
}
UCF101 = {
    "the folder 'Diving' is class 2 of": ["Diving/v_b.avi 1", "Diving/v_b.avi 0"],
    "but must be a whole number": ["Diving/v_b.avi two", "Diving/v_b.avi 2 2"],
    "Did you mean 'Diving'?": ["Divin/v_b.avi 2"],
    "must be `Class/video.avi`": ["v_b.avi 2", "/Diving/v_b.avi 2"],
}
HMDB51 = {
    "mark is empty": ["b.avi"],
    "mark is '3', but must be 0 (neither), 1 (train) or 2 (test)": ["b.avi 3"],
    OUTSIDE: ["../../b.avi 1"],
    f"{TWICE}1": ["a.avi 1", "a.avi 2"],  # the second for training and for testing
}
BAD_PATHS = ("/b.mp4", "x/../../b.mp4", "C:\\b.mp4", "x\\..\\b.mp4", "\\\\server\\b.mp4")
PLAIN = {
    "the row has 1 columns, but must have 2 (path,label)": ["b.mp4"],
    "', but must be a whole number": [f"b.mp4,{bad}" for bad in ("-1", "²", "1.5", "run", "1e-3")],
    "below 100,000 (or give the names as `classes`)": ["b.mp4,100000", "b.mp4,1000000000"],
    "path is empty": [",1"],
    f"{TWICE}1": ["a.mp4,0"],
    OUTSIDE: [f"{bad},0" for bad in BAD_PATHS],
}


def test_rows(tmp_path, root):
    frames = touch(tmp_path / "frames", "P01_101/frame_0000000001.jpg")
    first, hmdb51 = EPIC_ROW.replace("P01_101_0", "same"), tmp_path / "wave_test_split1.txt"
    for read, videos, line, cases, written in [
        (data.read_kinetics, root, 4, KINETICS, lambda row: kinetics(tmp_path, GOOD, "", row)),
        (data.read_epic, root, 3, EPIC, lambda row: epic(tmp_path, first, EPIC_ROW.replace(*row))),
        (
            data.read_epic,
            frames,
            2,
            EPIC_FRAMES,
            lambda row: epic(tmp_path, EPIC_ROW.replace(*row)),
        ),
        (data.read_moments, root, 2, MOMENTS, lambda row: moments(tmp_path, f"{BAKING}\n{row}")),
        (data.read_ucf101, root, 2, UCF101, lambda row: ucf101(tmp_path, f"{DIVING}\n{row}\n")),
        (data.read_hmdb51, root, 2, HMDB51, lambda row: write(hmdb51, f"a.avi 1\n{row}\n").parent),
        (data.read_csv, root, 2, PLAIN, lambda row: write(tmp_path / "l.csv", f"a.mp4,0\n{row}\n")),
    ]:
        for says, rows in cases.items():
            for row in rows:
                annotations = written(row)
                file = hmdb51 if read is data.read_hmdb51 else annotations
                refused(read, annotations, videos, line, says, file=file)
                write(file, file.read_bytes().replace(b"\n", b"\r\n"))
                refused(read, annotations, videos, line, says, file=file)


def test_headers_and_line_ends(tmp_path):
    for header, line, *says in [
        ("label,youtube_ID,time_start,time_end,split\n", 1, "must have youtube_id,", "youtube_ID"),
        ("\n\nlabel:youtube_id:time_start:time_end\n", 3, "the header is label:youtube_id:"),
        ("label,youtube_id,time_start,time_end,label\n", 1, "no name twice"),
        ("", 1, "the header is yoga,a,0,10,t"),
    ]:
        refused(data.read_kinetics, kinetics(tmp_path, GOOD, header=header), tmp_path, line, *says)
    for read, annotations in (
        (data.read_kinetics, kinetics(tmp_path)),
        (data.read_epic, epic(tmp_path)),
        (data.read_csv, write(tmp_path / "l.csv", "path,label\n")),
    ):
        refused(read, annotations, tmp_path, None, "no row below the header")
    refused(data.read_csv, write(tmp_path / "l.csv", "label, Path\n"), tmp_path, None, "no row")
    # only line ends end a line, and quoted ones are counted
    for first, line in (('"two\nlines",a,0,10,t', 4), ("yo\u2028ga\x0b\x0c\x1c\x85,a,0,10,t", 3)):
        annotations = kinetics(tmp_path, first, "yoga,b,x,10,t")
        refused(data.read_kinetics, annotations, tmp_path, line, "time_start is 'x'")
    annotations = write(tmp_path / "l.csv", "a\u2028\x0c\x85b.mp4 0\nc.mp4 x\n")
    refused(data.read_csv, annotations, tmp_path, 2, "label is 'x'")


def test_options(tmp_path, root):
    annotations, says = (
        kinetics(tmp_path, "high jmp,a,0,10,t"),
        "'high jmp' is not one of the 2 cla",
    )
    names = ["high jump", "yoga"]
    refused(data.read_kinetics, annotations, root, 2, says, "mean 'high jump'?", classes=names)
    annotations = kinetics(tmp_path, GOOD, GOOD, GOOD)
    catalog = data.read_kinetics(annotations, root, allow_duplicates=True)
    assert len(catalog) == 3 and "2 duplicates kept, the first in line 3" in catalog.report()
    plain = tmp_path / "l.csv"
    for text, says, options in [
        ("a.mp4 0\nb.mp4 2\n", "must be 0 to 1", {"classes": ["x", "y"]}),
        ("a.mp4 0\nb.mp4\n", "label is empty", {}),
        ("path,label,start,end\na.mp4,0,3,2\n", "ends at 2 s, but starts at 3 s", {}),
    ]:
        refused(data.read_csv, write(plain, text), root, 2, says, **options)
    frames = touch(tmp_path / "frames", "P01_101/frame_0000000001.jpg")
    no_noun = epic(tmp_path / "e", EPIC_ROW)
    (tmp_path / "e" / "EPIC_100_noun_classes.csv").unlink()
    for error, says, read, annotations, videos, options in [
        (FileNotFoundError, "_test_split2.txt", data.read_hmdb51, tmp_path, root, {"split": 2}),
        (ValueError, "split is 4", data.read_hmdb51, tmp_path, root, {"split": 4}),
        (ValueError, "subset is 'val'", data.read_hmdb51, tmp_path, root, {"subset": "val"}),
        (ValueError, "'kinetics'?", data.read_annotations, plain, root, {"format": "kinetic"}),
        *(
            (ValueError, "P01_101", data.read_epic, epic(tmp_path, EPIC_ROW), frames, {"fps": fps})
            for fps in ({"P01_101": 0}, 0, -1)
        ),
        (TypeError, '"verb"', data.read_epic, no_noun, root, {"classes": ["take"]}),
        (FileNotFoundError, "EPIC_100_noun_classes.csv", data.read_epic, no_noun, root, {}),
    ]:
        with pytest.raises(error, match=says):
            read(annotations, videos, **options)


# --- files and folders that are something else ---------------------------------------------------


def test_files_that_are_no_text_or_not_there(tmp_path):
    for text, line, says in [
        *((empty, None, "the file is empty") for empty in (b"", b"\n \r\n\t\n", b"\xef\xbb\xbf")),
        ("label,é".encode("utf-16"), 1, "Save the file as UTF-8"),
        ("a\nlabel".encode("utf-16-be"), 1, "the byte 0x00 is not UTF-8"),
        (b"a,b\nc\xe9,d\n", 2, "the byte 0xe9 is not UTF-8"),
        (b"a,b\nc\0,d\n", 2, "the byte 0x00 is not UTF-8"),
    ]:
        for read in READERS:
            refused(read, write(tmp_path / "list.csv", text), tmp_path, line, says)
    for read in (*READERS, data.read_hmdb51):
        for path in (tmp_path / "nothing.csv", tmp_path):
            with pytest.raises(FileNotFoundError, match=path.name):
                read(path, tmp_path)
    annotations = kinetics(tmp_path, GOOD)
    for root in (tmp_path / "videos", annotations):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            data.read_kinetics(annotations, root)


def test_folders_of_classes(tmp_path):
    touch(tmp_path, "nothing/.hidden", "empty/a/x.txt", "v/jump/a.mp4", "v/hop/b.mp4")
    for folder, says, classes in [
        ("nothing", "must have a folder for each class, but there is none", None),
        ("empty", "no video in its 1 folder", None),
        ("v", "'hop' is not one of the 1 classes", ["jump"]),
    ]:
        with pytest.raises(AnnotationError, match=says):
            data.read_folder(tmp_path / folder, classes=classes)
    with pytest.raises(FileNotFoundError):
        data.read_folder(tmp_path / "not there")


def test_folders_that_are_splits_are_not_classes(tmp_path):
    for number, names in enumerate(
        (
            *(
                ("train/run", "val/run", "annotations"),
                ("train/run", "meta"),
                ("Train/a", "TEST/a"),
            ),
            *(("train_256/run", "val_256/run"), ("training/a", "testing/a", "x")),
            *(("validation/run", "labels"), ("train2017/run", "val2017/run", "docs/run")),
        )
    ):
        root = touch(tmp_path / str(number), *(f"{name}/1.mp4" for name in names))
        with pytest.raises(
            AnnotationError, match="these folders are splits: choose one, split='[tTv]"
        ):
            data.read_folder(root)
    root = touch(tmp_path / "vehicles", "train/a.mp4", "bus/b.mp4", "test_tube/c.mp4")
    assert data.read_folder(root).class_names == ["bus", "test_tube", "train"]


def test_folders_of_frames_need_a_rate(tmp_path):
    root = touch(tmp_path, "run/v1/img_00001.jpg", "jump/deep/v2/1.PNG")
    with pytest.raises(AnnotationError, match=r"v2 is a folder of frames: give their rate, fps=25"):
        data.read_folder(root)
    touch(root, "run/b.mp4", "run/thumbnails/b.mp4", "run/thumbnails/b.jpg")
    assert "not read, 2 folders of frames: give their rate" in data.read_folder(root).report()


def test_broken_json_and_json_of_the_wrong_shape(tmp_path, root):
    for text, line, says in [
        (f"[{ITEM},\n{ITEM[:20]}", 2, "the JSON is broken"),
        (f"[{ITEM}", 1, "cut short"),
        (f"[{ITEM}]\n\nmore", 3, "Extra data"),
        (f"[{ITEM}\n{ITEM}]", 2, "Expecting ','"),
        ("[" * 100_000, None, "the JSON is broken"),
        (f'[{{"id": {"9" * 5000}}}]', None, "the JSON is broken"),
        (ITEM, None, "must be a JSON list"),
        ("[]", None, "and not empty"),
        ("[1]", 1, "the item must be"),
        (f'[{ITEM},\n{{"template": "x"}}]', 2, "the item must be"),
        (f'[{ITEM},\n{{"id": "7", "template": 3}}]', 2, "the item must be"),
        (f'[{ITEM},\n{{"id": ""}}]', 2, "id is empty"),
        (f'[{ITEM},\n{{"id": "../7"}}]', 2, OUTSIDE),
        (f'[{ITEM},\n\n{{"id": "7", "template": "Droping [it]"}}]', 3, "mean 'Dropping it'?"),
        (f"[{ITEM},\n {ITEM}]", 2, f"{TWICE}1"),
    ]:
        refused(data.read_ssv2, ssv2(tmp_path, text), root, line, says)


def test_files_that_number_the_classes_badly(tmp_path, root):
    own = "must have a name of its own"
    labels, index = tmp_path / "something-something-v2-labels.json", tmp_path / "classInd.txt"
    for text, line, says in [
        ('{"A": "0", "B": "2"}', None, f"class 1 is None, but each number from 0 on {own}"),
        ('{"A": "0", "B": "0"}', None, own),
        ('["A", 3]', None, "class 1 is 3"),
        ('["A", "A"]', None, own),
        *((text, None, "must be a list of names") for text in ("3", "[]", "{}")),
        ('{"A": "0"', 1, "the JSON is broken"),
    ]:
        annotations = ssv2(tmp_path, f"[{ITEM}]", text)
        refused(data.read_ssv2, annotations, root, line, says, file=labels)
    for text in ("baking,0\nasking,0\n", "baking,0\nasking,2\n", "a,x\n", "a,0\na,1\n"):
        annotations, file = moments(tmp_path, BAKING, text), tmp_path / "moments_categories.txt"
        refused(data.read_moments, annotations, root, None, own, file=file)
    for text, line, says in [
        ("0 Diving\n", None, own),
        ("1 Diving\n3 Typing\n", None, "class 1 is None"),
        ("Diving\n", 1, "name is empty"),
        ("1 Diving\nx Typing\n", 2, "number is 'x'"),
    ]:
        refused(data.read_ucf101, ucf101(tmp_path, DIVING, text), root, line, says, file=index)
    annotations = epic(tmp_path, EPIC_ROW)
    verbs = write(tmp_path / "EPIC_100_verb_classes.csv", "id,key\n0,put\n2,take\n")
    refused(data.read_epic, annotations, root, None, "class 1 is None", file=verbs)


# --- what people really have: a list -> what the sentence says ------------------------------------

VIDEOS = ("a.mp4", "b.mp4", "a,b.mp4", "100218/00001.jpg", "100219.webm", "v1/img_1.jpg", "x/a.mp4")
ONE = "A line must be a path and one label"
ODD_LISTS = [
    # headers that name no column that we know
    ("vid,gesture\na.mp4,run\nb.mp4,jump\n", 1, "no video 'vid' (its label: 'gesture'). A line"),
    ("vid gesture\na.mp4 0\nb.mp4 1\n", 1, "A header must name its columns"),
    ("vid;gesture\n100219;run\n", 1, "A header must name its columns"),
    ("filename,gesture\na.mp4,0\n", 1, "the header is filename,gesture. A line must be"),
    ("who,class\na.mp4,0\n", 1, "A header must name its columns path and label"),
    ("path,label\na.mp4,0\npath,label\nb.mp4,1\n", 3, "label is 'label', but must be a whole"),
    (f"{'x' * 200_000},0\n", 1, "label is empty"),  # no list at all
    # columns in another order, or apart in two ways
    ("run,a.mp4\njump,b.mp4\n", 1, "the label is 'a.mp4'. A line must be a path and"),
    ("a,b;0\nx,a;1\n", 1, "are the columns separated by ',' or ';'?"),
    # several labels a line
    ("a.mp4 1 3 5\nb.mp4 2\n", 1, ONE),
    ("b.mp4 2\na.mp4 1 3\n", 2, ONE),
    ("a.mp4,1,3,5\n", 1, ONE),
    ("a.mp4;1;3\n", 1, ONE),
    ("a.mp4 1,3\n", 1, ONE),
    ('a.mp4,"1, 3"\n', 1, ONE),
    ("a.mp4,[1 3]\nb.mp4,[2 5]\n", 1, ONE),
    ("a.mp4,1|3\nb.mp4,2|5\n", 1, ONE),
    ("v1 163 1\nv2 20 0\n", 1, ONE),
    ("a.mp4 high jump\nb.mp4 run\n", 1, "a label with spaces in it needs a comma or a tab"),
    # folders of frames without a rate
    ("100218;Swipe\n", 1, "100218 is a folder of frames; give their rate: fps=25"),
    ("b.mp4 0\nv1 1\n", 2, "v1 is a folder of frames; give their rate"),
    ("b.mp4 0\nv1.mp4 1\n", 2, "v1 is a folder of frames; give their rate"),
    # the same file under two names
    ("x/a.mp4,0\n./x/a.mp4,1\n", 2, f"{TWICE}1"),
    ("x/a.mp4,0\nx//a.mp4,0\n", 2, f"{TWICE}1"),
    ("x/a.mp4,0\nROOT/x/a.mp4,0\n", 2, f"{TWICE}1"),
    ("x/a.mp4,0\nx/../x/a.mp4,0\n", 2, f"{TWICE}1"),
    ("x/a.mp4,0\nx/a.avi,0\n", 2, f"{TWICE}1"),  # as there is no a.avi
    ("x/a.mp4,0\nlinked/a.mp4,1\n", 2, f"{TWICE}1"),
    ("a.mp4,0\nlink.mp4,1\n", 2, f"{TWICE}1"),
    # outside
    ("ROOT/../a.mp4,0\n", 1, OUTSIDE),
    ("ROOTS/a.mp4,0\n", 1, OUTSIDE),
    # numbers
    ("a.mp4,0.0\nb.mp4,1.5\n", 2, "label is '1.5', but must be a whole number"),
]


def test_odd_lists_are_refused_where_they_are_odd(tmp_path):
    root = touch(tmp_path / "v", *VIDEOS)
    (root / "linked").symlink_to(root / "x")
    (root / "link.mp4").symlink_to(root / "a.mp4")
    for text, line, says in ODD_LISTS:
        annotations = write(tmp_path / "l.csv", text.replace("ROOT", str(root)))
        refused(data.read_csv, annotations, root, line, says)


def test_texts_in_another_encoding_are_refused(tmp_path):
    for encoding, text in {
        "CP949": "안녕.mp4,달리기\nb.mp4,점프\n",
        "CP932": "日本.mp4,走る\nb.mp4,跳ぶ\n",
        "GB18030": "中文.mp4,跑步\nb.mp4,跳高\n",
        "CP1252": "café.mp4,été\n",
        "CP1251": "кафе.mp4,бег\n",
        "UTF-16": "안녕.mp4,달리기\n",
        "UTF-16-LE": "안녕.mp4,달리기\n",
        "UTF-16-BE": "a.mp4,0\n",
    }.items():
        annotations = write(tmp_path / "l.csv", text.encode(encoding))
        refused(data.read_csv, annotations, tmp_path, 1, "is not UTF-8. Save the file as UTF-8")
    annotations = write(tmp_path / "l.csv", b"a.mp4,0\nb\x00\x01\xff.mp4,1")
    refused(data.read_csv, annotations, tmp_path, 2, "0xff is not UTF-8")


def test_a_class_that_the_model_does_not_know(tmp_path):
    root, knows = touch(tmp_path / "v", "swim/a.mp4", "run/b.mp4"), "that the model knows"
    listed = write(tmp_path / "l.csv", "swim/a.mp4,swim\n")
    numbered = write(tmp_path / "n.csv", "swim/a.mp4,2\n")
    table = kinetics(tmp_path, "swim,a,0,10,val")
    says = f"'swim' is not one of the 2 classes {knows} (jump, run)."
    for read, arguments, line in (
        (data.read_folder, (), None),
        (data.read_csv, (listed,), 1),
        (data.read_kinetics, (table,), 2),
        (data.read_annotations, (listed,), 1),
    ):
        with pytest.raises(AnnotationError) as error:
            read(*arguments, root, classes=["jump", "run"])
        assert error.value.reason == says and error.value.line == line
    refused(data.read_csv, numbered, root, 1, "must be 0 to 1", knows, classes=["jump", "run"])
    many = [f"c{number}" for number in range(400)]
    refused(data.read_csv, listed, root, 1, "400 classes that", "c7, ...)", classes=many)
    names = write(tmp_path / "names.txt", "jump\nrun\n")  # a name a line
    refused(data.read_csv, listed, root, 1, f"2 classes of {names}", classes=names)


def test_options_that_a_format_has_not(tmp_path):
    root = touch(tmp_path / "v", "run/b.mp4")
    listed = write(tmp_path / "l.csv", "run/b.mp4,0\n")
    for name in ("subset", "trimmed", "typo"):
        with pytest.raises(TypeError, match=rf"read_csv\(\) got an unexpected .* '{name}'"):
            data.read_annotations(listed, root, **{name: "test"})
    for split in ("val", "train"):
        refused(data.read_csv, listed, root, None, "there is no column of splits", split=split)
    mixed = write(tmp_path / "m.csv", "path,label,Subset\nrun/b.mp4,0,train\nx.mp4,0,test\n")
    refused(data.read_csv, mixed, root, None, "of the splits train, test: choose one")
    refused(data.read_csv, mixed, root, None, "split is 'val'", split="val")
    with pytest.raises(ValueError, match="but .*trainlist01.txt is a list"):
        data.read_ucf101(ucf101(tmp_path, "x/v_b.avi 1\n"), root, subset="test")
    with pytest.raises(FileNotFoundError, match=r"testlist03\.txt"):
        data.read_ucf101(tmp_path, root, split=3, subset="test")
    for fps in (0, -25):
        with pytest.raises(ValueError, match="but must be a number of frames a second above 0"):
            data.read_csv(listed, root, fps=fps)


# --- paths and links -----------------------------------------------------------------------------


def test_paths_and_links_that_lead_outside(tmp_path):
    root, away = touch(tmp_path / "root", "a.mp4"), touch(tmp_path / "away", "b.mp4", "c.webm")
    annotations = write(tmp_path / "l.csv", f"a.mp4,0\n{away}/b.mp4,1\n../away/c.mp4,0\n")
    refused(data.read_csv, annotations, root, 2, OUTSIDE)
    catalog = data.read_csv(annotations, root, allow_outside=True)
    assert [s.path for s in catalog] == [root / "a.mp4", away / "b.mp4", away / "c.webm"]

    (root / "linked").symlink_to(away)
    (root / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    catalog = data.read_csv(write(annotations, "linked/b.mp4,0\ndangling.mp4,0\n"), root)
    assert [s.name for s in catalog] == ["linked/b.mp4"]
    assert [s.name for s in catalog.missing] == ["dangling.mp4"]


def test_errors_travel_between_processes():
    error = AnnotationError("why", "file.csv", 3)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "file.csv, line 3: why"
    assert (again.line, again.reason) == (3, "why")

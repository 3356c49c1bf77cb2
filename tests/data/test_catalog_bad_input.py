"""Whatever is wrong in an annotation file is named with file and line, and the rule."""

import pickle

import pytest
from data_sets import EPIC_ROW, epic, kinetics, moments, ssv2, touch, ucf101, write

from vivit_lab.data import (
    AnnotationError,
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

GOOD = "yoga,a,0,10,t"


def refused(read, annotations, root, line, *says, file=None, **options):
    """Reading raises AnnotationError at that file and line, and the sentence has these words."""
    with pytest.raises(AnnotationError) as error:
        read(annotations, root, **options)
    told = error.value
    place = f"{file or annotations}" + (f", line {line}: " if line else ": ")
    assert str(told).startswith(place) and told.line == line, f"{told} is not at {place}"
    for words in says:
        assert words in told.reason, f"{words!r} is not in: {told}"


# --- tables with a header ------------------------------------------------------------------------


def test_a_wrong_header(tmp_path):
    for header, line, *says in [
        ("label,youtube_ID,time_start,time_end,split\n", 1, "must have youtube_id,", "youtube_ID"),
        ("\n\nlabel;youtube_id;time_start;time_end\n", 3, "the header is label;youtube_id;"),
        ("label,youtube_id,time_start,time_end,label\n", 1, "no name twice"),
        ("", 1, "the header is yoga,a,0,10,t"),
    ]:
        refused(read_kinetics, kinetics(tmp_path, GOOD, header=header), tmp_path, line, *says)
    refused(read_kinetics, kinetics(tmp_path), tmp_path, None, "no row below the header")
    refused(read_epic, epic(tmp_path), tmp_path, None, "no row below the header")


KINETICS = [
    ("yoga,b,0,10", "the row has 4 columns, but must have 5 (label,youtube_id,"),
    ("jump, high,b,0,10,t", "has 6 columns", "needs quotes"),
    ("yoga,b,ten,20,t", "time_start is 'ten', but must be a number of seconds"),
    *((f"yoga,b,{bad},20,t", f"time_start is '{bad}'") for bad in ("nan", "inf", "1e3", "1_0")),
    *((f"yoga,b,{bad},20,t", f"time_start is '{bad}'") for bad in ("-5", "٣", "9" * 400)),
    ("yoga,b,,20,t", "time_start is empty"),
    ("yoga,b,30,20,t", "ends at 20 s, but starts at 30 s"),
    ("yoga,b,20,20,t", "ends at 20 s, but starts at 20 s"),
    (",b,0,10,t", "label is empty"),
    *((f"yoga,{bad},0,10,t", "an id, not a path") for bad in ("../b", "/etc/b", "x\\b", ".b")),
    ("yoga,a,0,10,t", "in line 2", "allow_duplicates=True"),
    ("dance,a,0,10,t", "in line 2"),
    ('"yoga,b,0,10,t\n', "quotation mark"),
]


def test_kinetics_rows(tmp_path):
    touch(tmp_path, "a_000000_000010.mp4")
    for row, *says in KINETICS:
        for ends in (b"\n", b"\r\n"):
            annotations = kinetics(tmp_path, GOOD, "", row)
            annotations.write_bytes(annotations.read_bytes().replace(b"\n", ends))
            refused(read_kinetics, annotations, tmp_path, 4, *says)


def test_only_line_ends_end_a_line_and_quoted_ones_are_counted(tmp_path):
    for first, line in (('"two\nlines",a,0,10,t', 4), ("yo\u2028ga\x0b\x0c\x1c\x85,a,0,10,t", 3)):
        annotations = kinetics(tmp_path, first, "yoga,b,x,10,t")
        refused(read_kinetics, annotations, tmp_path, line, "time_start is 'x'")
    annotations = write(tmp_path / "l.csv", "a\u2028\x0c\x85b.mp4 0\nc.mp4 x\n")
    refused(read_csv, annotations, tmp_path, 2, "label is 'x'")


def test_an_unknown_class_is_named_with_the_closest(tmp_path):
    refused(
        *(read_kinetics, kinetics(tmp_path, "high jmp,a,0,10,t"), tmp_path, 2),
        *("'high jmp' is none of the 2 classes", "Did you mean 'high jump'?"),
        classes=["high jump", "yoga"],
    )


def test_duplicates_can_be_kept_and_are_reported(tmp_path):
    annotations = kinetics(tmp_path, GOOD, GOOD, GOOD)
    touch(tmp_path, "a_000000_000010.mp4")
    catalog = read_kinetics(annotations, tmp_path, allow_duplicates=True)
    assert len(catalog) == 3 and "2 duplicates kept, in line 3, 4" in catalog.report()


def test_epic_rows(tmp_path):
    first = EPIC_ROW.replace("P01_101_0", "same")
    touch(tmp_path, "P01_101.MP4")
    for old, new, says in [
        ("00:00:00.5", "0.5", "start_timestamp is '0.5', but must be a time"),
        ("00:00:00.5", "-00:00:00.5", "must be a time"),
        ("00:00:00.5", "00:61:00.5", "must be a time"),
        ("00:00:02.25", "00:00:00.25", "ends at 0.25 s, but starts at 0.5 s"),
        (",26,", ",-26,", "start_frame is '-26', but must be a whole number"),
        (",112,", ",12.0,", "stop_frame is '12.0', but must be a whole number"),
        (",112,", ",25,", "ends with frame 25, but starts with frame 26"),
        (",take,1,", ",take,2,", "verb_class is 2, but must be 0 to 1"),
        (",cup,2,", ",cup,3,", "noun_class is 3, but must be 0 to 2"),
        (",cup,2,", ",cup,,", "noun_class is empty"),
        (",P01_101,", ",../P01_101,", "video_id is '../P01_101', but must be an id"),
        ("P01_101_0", "same", "the same segment is in line 2"),
    ]:
        annotations = epic(tmp_path, first, EPIC_ROW.replace(old, new))
        refused(read_epic, annotations, tmp_path, 3, says)


def test_epic_classes_and_rates(tmp_path):
    annotations = epic(tmp_path, EPIC_ROW)
    frames = touch(tmp_path / "frames", "P01_101/frame_0000000001.jpg")
    for fps in ({"P01_101": 0}, 0, -1):
        with pytest.raises(ValueError, match="P01_101"):
            read_epic(annotations, frames, fps=fps)
    root = touch(tmp_path, "P01_101.MP4")
    with pytest.raises(TypeError, match='"verb"'):
        read_epic(annotations, root, classes=["take"])
    verbs = write(tmp_path / "EPIC_100_verb_classes.csv", "id,key\n0,put\n2,take\n")
    refused(read_epic, annotations, root, None, "class 1 is None", file=verbs)
    (tmp_path / "EPIC_100_noun_classes.csv").unlink()
    with pytest.raises(FileNotFoundError, match="EPIC_100_noun_classes.csv"):
        read_epic(annotations, root)


# --- files and folders that are something else ---------------------------------------------------


def test_files_that_are_no_text(tmp_path):
    for data, line, says in [
        (b"", None, "the file is empty"),
        (b"\n \r\n\t\n", None, "the file is empty"),
        (b"\xef\xbb\xbf", None, "the file is empty"),
        ("label,é".encode("utf-16"), 1, "Save the file as UTF-8"),
        ("a\nlabel".encode("utf-16-be"), 1, "the byte 0x00 is not UTF-8"),
        (b"a,b\nc\xe9,d\n", 2, "the byte 0xe9 is not UTF-8"),
        (b"a,b\nc\0,d\n", 2, "the byte 0x00 is not UTF-8"),
    ]:
        for read in (read_kinetics, read_csv, read_ssv2, read_epic, read_ucf101):
            refused(read, write(tmp_path / "list.csv", data), tmp_path, line, says)


def test_files_and_roots_that_are_not_there(tmp_path):
    for read in (read_kinetics, read_csv, read_ssv2, read_epic, read_ucf101, read_hmdb51):
        for path in (tmp_path / "nothing.csv", tmp_path):
            with pytest.raises(FileNotFoundError, match=path.name):
                read(path, tmp_path)
    annotations = kinetics(tmp_path, GOOD)
    for root in (tmp_path / "videos", annotations):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            read_kinetics(annotations, root)


def test_folders_of_classes(tmp_path):
    for name in ("nothing", "empty/a"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(AnnotationError, match="needs a folder in it, but there is none"):
        read_folder(tmp_path / "nothing")
    with pytest.raises(AnnotationError, match="no video in its 1 folder"):
        read_folder(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path / "not there")
    root = touch(tmp_path / "v", "jump/a.mp4", "hop/b.mp4")
    with pytest.raises(AnnotationError, match="'hop' is none of the 1 classes"):
        read_folder(root, classes=["jump"])


def test_an_unknown_format(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'kinetics'?"):
        read_annotations(kinetics(tmp_path, GOOD), tmp_path, format="kinetic")


# --- Something-Something: JSON -------------------------------------------------------------------

ITEM = '{"id": "1", "template": "Dropping it"}'


def test_broken_json_and_json_of_the_wrong_shape(tmp_path):
    touch(tmp_path, "1.webm")
    for text, line, says in [
        (f"[{ITEM},\n{ITEM[:20]}", 2, "the JSON is broken"),
        (f"[{ITEM}", 1, "cut short"),
        (f"[{ITEM},]", 1, "the JSON is broken"),
        (f"[{ITEM}]\n\nmore", 3, "Extra data"),
        (f"[{ITEM}\n{ITEM}]", 2, "Expecting ','"),
        ("[" * 100_000, None, "the JSON is broken"),
        (f'[{{"id": {"9" * 5000}}}]', None, "the JSON is broken"),
        (ITEM, None, "must be a JSON list"),
        ("[]", None, "with something in it"),
        ("[1]", 1, "the item must be"),
        (f'[{ITEM},\n{{"template": "x"}}]', 2, "the item must be"),
        (f'[{ITEM},\n{{"id": "7", "template": 3}}]', 2, "the item must be"),
        (f'[{ITEM},\n{{"id": ""}}]', 2, "id is empty"),
        (f'[{ITEM},\n{{"id": "../7"}}]', 2, "an id, not a path"),
        (f'[{ITEM},\n\n{{"id": "7", "template": "Droping [it]"}}]', 3, "mean 'Dropping it'?"),
        (f"[{ITEM},\n {ITEM}]", 2, "the same segment is in line 1"),
    ]:
        refused(read_ssv2, ssv2(tmp_path, text), tmp_path, line, says)


def test_files_that_number_the_classes_badly(tmp_path):
    touch(tmp_path, "1.webm", "baking/a.mp4", "Diving/v_a.avi")
    labels, own = tmp_path / "something-something-v2-labels.json", "must have a name of its own"
    for text, says in [
        ('{"A": "0", "B": "2"}', f"class 1 is None, but each number from 0 on {own}"),
        ('{"A": "0", "B": "0"}', own),
        ('["A", 3]', "class 1 is 3"),
        ('["A", "A"]', own),
        ("3", "must be a list of names"),
        ("[]", "there is no class"),
    ]:
        refused(read_ssv2, ssv2(tmp_path, f"[{ITEM}]", text), tmp_path, None, says, file=labels)
    annotations = ssv2(tmp_path, f"[{ITEM}]", '{"A": "0"')
    refused(read_ssv2, annotations, tmp_path, 1, "the JSON is broken", file=labels)
    for text in ("baking,0\nasking,0\n", "baking,0\nasking,2\n", "a,x\n", "a,0\na,1\n"):
        annotations = moments(tmp_path, "baking/a.mp4,baking,3,0\n", text)
        categories = tmp_path / "moments_categories.txt"
        refused(read_moments, annotations, tmp_path, None, own, file=categories)
    for text, line, says in [
        ("0 Diving\n", None, own),
        ("1 Diving\n3 Typing\n", None, "class 1 is None"),
        ("Diving\n", 1, "name is empty"),
        ("1 Diving\nx Typing\n", 2, "number is 'x'"),
    ]:
        annotations, index = ucf101(tmp_path, "Diving/v_a.avi\n", text), tmp_path / "classInd.txt"
        refused(read_ucf101, annotations, tmp_path, line, says, file=index)


# --- Moments, UCF101, HMDB51, plain lists --------------------------------------------------------


def test_rows_of_lists_without_a_header(tmp_path):
    root = touch(tmp_path, "baking/a.mp4", "Diving/v_a.avi", "wave/a.avi", "a.mp4")
    for row, says in [
        ("baking/b.mp4,baking,1", "the row has 3 columns, but must have 4"),
        ("baking/b.mp4,bakng,1,0", "Did you mean 'baking'?"),
        ("/baking/b.mp4,baking,1,0", "must lie below root"),
        ("baking/../b.mp4,baking,1,0", "must lie below root"),
        ("baking/a.mp4,baking,1,0", "the same segment is in line 1"),
    ]:
        annotations = moments(tmp_path, f"baking/a.mp4,baking,3,0\n{row}\n")
        refused(read_moments, annotations, root, 2, says)
    for row, says in [
        ("Diving/v_b.avi 1", "the folder 'Diving' is class 2 of"),
        ("Diving/v_b.avi 0", "the folder 'Diving' is class 2 of"),
        ("Diving/v_b.avi two", "number is 'two', but must be a whole number"),
        ("Diving/v_b.avi 2 2", "number is '2 2', but must be a whole number"),
        ("Divin/v_b.avi 2", "Did you mean 'Diving'?"),
        ("v_b.avi 2", "must be `Class/video.avi`"),
        ("/Diving/v_b.avi 2", "must lie below root"),
        ("Diving/v_a.avi 2", "the same segment is in line 1"),
    ]:
        annotations = ucf101(tmp_path, f"Diving/v_a.avi 2\n{row}\n")
        refused(read_ucf101, annotations, root, 2, says)
    for row, says in [
        ("b.avi", "mark is empty"),
        ("b.avi 3", "mark is '3', but must be 0 (neither), 1 (train) or 2 (test)"),
        ("../b.avi 1", "must be the name of a file"),
        ("a.avi 1", "the same segment is in line 1"),
        ("a.avi 2", "the same segment is in line 1"),  # for training and for testing
    ]:
        annotations = write(tmp_path / "wave_test_split1.txt", f"a.avi 1\n{row}\n")
        refused(read_hmdb51, tmp_path, root, 2, says, file=annotations)
    with pytest.raises(FileNotFoundError, match="_test_split2.txt"):
        read_hmdb51(tmp_path, root, split=2)
    with pytest.raises(ValueError, match="split is 4"):
        read_hmdb51(tmp_path, root, split=4)


PLAIN = [
    ("b.mp4", "the row has 1 columns, but must have 2 (path,label)"),
    ("b.mp4,1,2", "has 3 columns"),
    *((f"b.mp4,{bad}", f"label is '{bad}', but must be a whole number") for bad in ("-1", "1.0")),
    *((f"b.mp4,{bad}", f"label is '{bad}', but must be a whole number") for bad in ("run", "²")),
    *((f"b.mp4,{label}", "more than 100,000 classes", "`classes`") for label in (10**5, 10**9)),
    (",1", "path is empty"),
    ("a.mp4,0", "the same segment is in line 1"),
    ("/b.mp4,0", "must lie below root", "allow_outside=True"),
    *(
        (f"{bad},0", "must lie below root")
        for bad in ("x/../../b.mp4", "C:\\b.mp4", "x\\..\\b.mp4")
    ),
    ("\\\\server\\b.mp4,0", "must lie below root"),
]


def test_plain_rows(tmp_path):
    root = touch(tmp_path, "a.mp4")
    for row, *says in PLAIN:
        refused(read_csv, write(tmp_path / "l.csv", f"a.mp4,0\n{row}\n"), root, 2, *says)
    annotations = write(tmp_path / "l.csv", "a.mp4 0\nb.mp4 2\n")
    refused(read_csv, annotations, root, 2, "label is 2, but must be 0 to 1", classes=["x", "y"])
    refused(read_csv, write(tmp_path / "l.csv", "a.mp4 0\nb.mp4\n"), root, 2, "label is empty")
    annotations = write(tmp_path / "l.csv", "path,label,start,end\na.mp4,0,3,2\n")
    refused(read_csv, annotations, root, 2, "ends at 2 s, but starts at 3 s")


def test_paths_lead_outside_only_when_that_is_allowed(tmp_path):
    root = touch(tmp_path / "root", "a.mp4")
    away = touch(tmp_path / "away", "b.mp4", "c.webm")
    text = f"a.mp4,0\n{away}/b.mp4,1\n../away/c.mp4,0\n"
    annotations = write(tmp_path / "l.csv", text)
    with pytest.raises(AnnotationError):
        read_csv(annotations, root)
    catalog = read_csv(annotations, root, allow_outside=True)
    assert [s.path for s in catalog] == [root / "a.mp4", away / "b.mp4", away / "c.webm"]


def test_a_link_inside_the_root_may_lead_outside(tmp_path):
    root, away = touch(tmp_path / "root", "x.mp4"), touch(tmp_path / "away", "b.mp4")
    (root / "linked").symlink_to(away)
    (root / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    annotations = write(tmp_path / "l.csv", "linked/b.mp4,0\ndangling.mp4,0\n")
    catalog = read_csv(annotations, root)
    assert [s.name for s in catalog] == ["linked/b.mp4"]
    assert [s.name for s in catalog.missing] == ["dangling.mp4"]


def test_errors_travel_between_processes():
    error = AnnotationError("why", "file.csv", 3)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "file.csv, line 3: why"
    assert (again.line, again.reason) == (3, "why")

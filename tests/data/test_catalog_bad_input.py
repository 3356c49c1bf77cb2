"""Whatever is wrong in an annotation file is named with file, line and column, and what to do."""

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


def refused(read, annotations, root, *, line, column, says, **options):
    """Reading raises AnnotationError there, and the sentence has these words."""
    with pytest.raises(AnnotationError) as error:
        read(annotations, root, **options)
    told = error.value
    assert str(annotations) in str(told) or str(annotations.parent) in str(told)
    assert (told.line, str(told.column)) == (line, str(column)), str(told)
    for words in [says] if isinstance(says, str) else says:
        assert words in str(told), str(told)
    return told


# --- Kinetics: a table with a header --------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "line", "column", "says"),
    [
        (
            "label,youtube_ID,time_start,time_end,split\n",
            *(1, "2 (youtube_ID)", ["lacks 'youtube_id'", "Is 'youtube_ID' meant", "Expected:"]),
        ),
        ("label,youtube_id,start,time_end,split\n", 1, "3 (start)", ["lacks 'time_start'"]),
        ("\n\nlabel;youtube_id;time_start;time_end\n", 3, "1 (label;you", ["found: label;you"]),
        ("label,youtube_id,time_start,time_end,label\n", 1, "5 (label)", "'label' twice"),
        ("", 1, "1 (yoga)", "lacks 'youtube_id'"),
    ],
)
def test_a_wrong_header(tmp_path, header, line, column, says):
    annotations = kinetics(tmp_path, GOOD, header=header)
    with pytest.raises(AnnotationError) as error:
        read_kinetics(annotations, tmp_path)
    assert error.value.line == line and error.value.column.startswith(column)
    for words in [says] if isinstance(says, str) else says:
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        ("yoga,b,0,10", 5, ["has 4 columns, but the header has 5", "'split' is missing"]),
        ("jump, high,b,0,10,t", 6, ["has 6 columns", "'t' is too many", "needs quotes"]),
        ("yoga,b,ten,20,t", "3 (time_start)", "'ten' is no number of seconds"),
        ("yoga,b,nan,20,t", "3 (time_start)", "'nan'"),
        ("yoga,b,inf,20,t", "3 (time_start)", "'inf'"),
        ("yoga,b,1e3,2e3,t", "3 (time_start)", "'1e3'"),
        ("yoga,b,1_0,20,t", "3 (time_start)", "'1_0'"),
        ("yoga,b,-5,20,t", "3 (time_start)", "-5 is negative"),
        ("yoga,b,,20,t", "3 (time_start)", "it is empty"),
        ("yoga,b,30,20,t", "4 (time_end)", "it ends at 20 s, but starts at 30 s"),
        ("yoga,b,20,20,t", "4 (time_end)", "it ends at 20 s, but starts at 20 s"),
        (",b,0,10,t", "1 (label)", "it is empty"),
        ("yoga,../b,0,10,t", "2 (youtube_id)", "looks like a path"),
        ("yoga,/etc/b,0,10,t", "2 (youtube_id)", "looks like a path"),
        ("yoga,a,0,10,t", "2 (youtube_id)", ["in line 2", "allow_duplicates=True"]),
        ("dance,a,0,10,t", "2 (youtube_id)", "in line 2"),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_bad_row(tmp_path, row, column, says, ends):
    annotations = kinetics(tmp_path, GOOD, "", row)
    annotations.write_bytes(annotations.read_bytes().replace(b"\n", ends.encode()))
    touch(tmp_path, "a_000000_000010.mp4")
    refused(read_kinetics, annotations, tmp_path, line=4, column=column, says=says)


def test_lines_are_counted_through_quoted_ones(tmp_path):
    annotations = kinetics(tmp_path, '"two\nlines",a,0,10,t', "yoga,b,x,10,t")
    refused(read_kinetics, annotations, tmp_path, line=4, column="3 (time_start)", says="'x' is no")


def test_no_other_character_than_a_line_end_ends_a_line(tmp_path):
    annotations = kinetics(tmp_path, "yo\u2028ga\x0b\x0c\x1c\x85,a,0,10,t", "yoga,b,x,10,t")
    refused(read_kinetics, annotations, tmp_path, line=3, column="3 (time_start)", says="'x'")


def test_quotes_that_do_not_close(tmp_path):
    annotations = kinetics(tmp_path, GOOD, '"yoga,b,0,10,t', "yoga,c,0,10,t")
    refused(read_kinetics, annotations, tmp_path, line=3, column=1, says="quotation mark")


def test_an_unknown_class_is_named_with_the_closest(tmp_path):
    annotations = kinetics(tmp_path, "high jmp,a,0,10,t")
    refused(
        *(read_kinetics, annotations, tmp_path),
        **{"line": 2, "column": "1 (label)", "classes": ["high jump", "yoga"]},
        says=["'high jmp' is none of the 2 classes", "Did you mean 'high jump'?"],
    )


def test_duplicates_can_be_kept_and_are_reported(tmp_path):
    annotations = kinetics(tmp_path, GOOD, GOOD, GOOD)
    touch(tmp_path, "a_000000_000010.mp4")
    catalog = read_kinetics(annotations, tmp_path, allow_duplicates=True)
    assert len(catalog) == 3
    assert "2 duplicates kept, in line 3, 4" in catalog.report()


# --- encodings and empty files --------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_kinetics, read_csv, read_ssv2, read_epic, read_ucf101])
@pytest.mark.parametrize(
    ("data", "line", "column", "says"),
    [
        (b"", None, None, "the file is empty (0 bytes)"),
        (b"\n \r\n\t\n", None, None, "nothing but blank lines"),
        (b"\xef\xbb\xbf", None, None, "nothing but blank lines"),
        ("label,é".encode("utf-16"), 1, 1, ["UTF-16", "Save the file as UTF-8"]),
        ("a\nlabel".encode("utf-16-be"), 1, 1, ["NUL", "UTF-16"]),
        (b"a,b\nc\xe9,d\n", 2, 2, ["byte 0xe9 at position 5", "is not UTF-8", "iconv"]),
        (b"a,b\nc\0,d\n", 2, 2, "NUL byte"),
    ],
)
def test_files_that_are_no_text(tmp_path, read, data, line, column, says):
    annotations = write(tmp_path / "list.csv", data)
    refused(read, annotations, tmp_path, line=line, column=column, says=says)


@pytest.mark.parametrize("read", [read_kinetics, read_epic])
def test_a_header_and_nothing_else(tmp_path, read):
    make = {read_kinetics: kinetics, read_epic: epic}[read]
    refused(read, make(tmp_path), tmp_path, line=1, column=None, says="no row below it")


@pytest.mark.parametrize("read", [read_kinetics, read_csv, read_ssv2, read_epic, read_ucf101])
def test_a_folder_a_pipe_and_nothing_instead_of_a_file(tmp_path, read):
    import os

    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        read(tmp_path / "nothing.csv", tmp_path)
    with pytest.raises(AnnotationError, match="this is a folder"):
        read(tmp_path, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AnnotationError, match="a pipe or a device"):
        read(tmp_path / "pipe", tmp_path)


def test_a_root_that_is_not_there(tmp_path):
    annotations = kinetics(tmp_path, GOOD)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_kinetics(annotations, tmp_path / "videos")
    with pytest.raises(NotADirectoryError, match="no such folder"):
        read_kinetics(annotations, annotations)


# --- Something-Something: JSON --------------------------------------------------------------------

ITEM = '{"id": "1", "template": "Dropping it"}'


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        (f"[{ITEM},\n{ITEM[:20]}", 2, 13, "the JSON is broken here"),
        (f"[{ITEM}", 1, 40, ["the JSON is broken here", "Expecting ',' or ']'", "cut short"]),
        (f"[{ITEM},", 1, 41, "the JSON is broken here"),
        (f"[{ITEM},]", 1, 41, "Another item expected"),
        (f"[{ITEM}]\n\nmore", 3, 1, "Extra text"),
        (f"[{ITEM}\n{ITEM}]", 2, 1, "Expecting ','"),
        (ITEM, 1, 1, "must be a JSON list"),
        ("[]", None, None, "the list is empty"),
        ("[1]", 1, "1 (id)", "an item must be"),
        (f'[{ITEM},\n{{"template": "x"}}]', 2, "1 (id)", "an item must be"),
        (f'[{ITEM},\n{{"id": ["7"]}}]', 2, "1 (id)", "must be a text"),
        (f'[{ITEM},\n{{"id": ""}}]', 2, "1 (id)", "it is empty"),
        (f'[{ITEM},\n{{"id": "../7"}}]', 2, "1 (id)", "looks like a path"),
        (f'[{ITEM},\n{{"id": "7", "template": 3}}]', 2, "2 (template)", "must be a text"),
        (
            f'[{ITEM},\n\n{{"id": "7", "template": "Droping [it]"}}]',
            *(3, "2 (template)", "Did you mean 'Dropping it'?"),
        ),
        (f"[{ITEM},\n {ITEM}]", 2, "1 (id)", "the same segment is in line 1"),
        ("[" * 100_000, 1, None, "no usable JSON"),
        (f'[{{"id": {"9" * 5000}}}]', 1, None, "no usable JSON"),
    ],
)
def test_broken_json_and_json_of_the_wrong_shape(tmp_path, text, line, column, says):
    annotations = ssv2(tmp_path, text)
    touch(tmp_path, "1.webm")
    refused(read_ssv2, annotations, tmp_path, line=line, column=column, says=says)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ('{"A": "0", "B": "2"}', "number 1 is not there"),
        ('{"A": "0", "B": "0"}', "each once"),
        ('{"A": "0", "A": "1"}', "'A' is there twice"),
        ('{"A": "0"', "the JSON is broken"),
        ("3", "must be a list of names"),
        ('["A", 3]', "class 1 is 3"),
        ('["A", "A"]', "'A' is there twice"),
        ("[]", "there is no class"),
    ],
)
def test_labels_files_that_number_badly(tmp_path, labels, says):
    annotations = ssv2(tmp_path, f"[{ITEM}]", labels=labels)
    with pytest.raises(AnnotationError, match="something-something-v2-labels.json") as error:
        read_ssv2(annotations, touch(tmp_path, "1.webm"))
    assert says in str(error.value)


# --- EPIC-Kitchens --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "column", "says"),
    [
        ("00:00:00.5", "0.5", "5 (start_timestamp)", "'0.5' is no time such as"),
        ("00:00:00.5", "-00:00:00.5", "5 (start_timestamp)", "is no time"),
        ("00:00:00.5", "00:61:00.5", "5 (start_timestamp)", "is no time"),
        ("00:00:02.25", "00:00:00.25", "6 (stop_timestamp)", "ends at 0.25 s, but starts at 0.5"),
        (",26,", ",-26,", "7 (start_frame)", "no whole number"),
        (",112,", ",12.0,", "8 (stop_frame)", "no whole number"),
        (",112,", ",25,", "8 (stop_frame)", "ends with frame 25, but starts with frame 26"),
        (",take,1,", ",take,2,", "11 (verb_class)", "labels run from 0 to 1"),
        (",cup,2,", ",cup,3,", "13 (noun_class)", "labels run from 0 to 2"),
        (",cup,2,", ",cup,,", "13 (noun_class)", "it is empty"),
        (",P01_101,", ",../P01_101,", "3 (video_id)", "looks like a path"),
        ("P01_101_0", "same", "1 (narration_id)", "the same segment is in line 2"),
    ],
)
def test_epic_rows(tmp_path, old, new, column, says):
    first = EPIC_ROW.replace("P01_101_0", "same")
    annotations = epic(tmp_path, first, EPIC_ROW.replace(old, new))
    touch(tmp_path, "P01_101.MP4")
    refused(read_epic, annotations, tmp_path, line=3, column=column, says=says)


def test_epic_classes(tmp_path):
    annotations = epic(tmp_path, EPIC_ROW)
    touch(tmp_path, "P01_101.MP4")
    with pytest.raises(TypeError, match='"verb"'):
        read_epic(annotations, tmp_path, classes=["take"])
    write(tmp_path / "EPIC_100_verb_classes.csv", "id,key\n0,put\n2,take\n")
    with pytest.raises(AnnotationError, match=r"verb_classes.csv, line 3, column 1 \(id\)"):
        read_epic(annotations, tmp_path)
    (tmp_path / "EPIC_100_noun_classes.csv").unlink()
    with pytest.raises(FileNotFoundError, match="EPIC_100_noun_classes.csv"):
        read_epic(annotations, tmp_path)


@pytest.mark.parametrize("fps", [{"P01_102": 50}, 0, -1])
def test_epic_rates(tmp_path, fps):
    annotations = epic(tmp_path, EPIC_ROW)
    touch(tmp_path, "P01_101/frame_0000000001.jpg")
    with pytest.raises(ValueError, match="P01_101"):
        read_epic(annotations, tmp_path, fps=fps)


# --- Moments, UCF101, HMDB51, plain lists ---------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        ("baking/b.mp4,baking,1", 4, ["3 columns, but there must be 4", "'disagree' is missing"]),
        ("baking/b.mp4,bakng,1,0", "2 (class)", "Did you mean 'baking'?"),
        ("/baking/b.mp4,baking,1,0", "1 (path)", "it is absolute"),
        ("baking/../b.mp4,baking,1,0", "1 (path)", "it has '..' in it"),
        ("baking/a.mp4,baking,1,0", "1 (path)", "the same segment is in line 1"),
    ],
)
def test_moments_rows(tmp_path, row, column, says):
    annotations = moments(tmp_path, f"baking/a.mp4,baking,3,0\n{row}\n")
    touch(tmp_path, "baking/a.mp4")
    refused(read_moments, annotations, tmp_path, line=2, column=column, says=says)


@pytest.mark.parametrize("categories", ["baking,0\nasking,0\n", "baking,0\nasking,2\n", "a,x\n"])
def test_moments_categories(tmp_path, categories):
    annotations = moments(tmp_path, "baking/a.mp4,baking,3,0\n", categories)
    with pytest.raises(AnnotationError, match=r"moments_categories.txt, line \d, column 2 \(index"):
        read_moments(annotations, touch(tmp_path, "baking/a.mp4"))


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        ("Diving/v_b.avi 1", "2 (label)", "'Diving' is class 2 of"),
        ("Diving/v_b.avi 0", "2 (label)", "'Diving' is class 2 of"),
        ("Diving/v_b.avi two", "2 (label)", "no whole number"),
        ("Divin/v_b.avi 2", "1 (path)", "Did you mean 'Diving'?"),
        ("v_b.avi 2", "1 (path)", "lacks the folder"),
        ("/Diving/v_b.avi 2", "1 (path)", "it is absolute"),
        ("Diving/v_b.avi 2 2", 3, "there are 3 columns"),
    ],
)
def test_ucf101_rows(tmp_path, row, column, says):
    annotations = ucf101(tmp_path, f"Diving/v_a.avi 2\n{row}\n")
    touch(tmp_path, "Diving/v_a.avi")
    refused(read_ucf101, annotations, tmp_path, line=2, column=column, says=says)


@pytest.mark.parametrize("classes", ["0 Diving\n", "1 Diving\n3 Typing\n", "Diving\n", "1\n"])
def test_ucf101_classes(tmp_path, classes):
    annotations = ucf101(tmp_path, "Diving/v_a.avi\n", classes)
    with pytest.raises(AnnotationError, match=r"classInd.txt, line \d, column 1"):
        read_ucf101(annotations, touch(tmp_path, "Diving/v_a.avi"))


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        ("b.avi", 2, "the mark is missing"),
        ("b.avi 3", "2 (mark)", "must be 0 (neither), 1 (train) or 2 (test)"),
        ("../b.avi 1", "1 (path)", "not a path"),
        ("a.avi 1", "1 (path)", "the same segment is in line 1"),
    ],
)
def test_hmdb51_rows(tmp_path, row, column, says):
    annotations = write(tmp_path / "wave_test_split1.txt", f"a.avi 1\n{row}\n")
    touch(tmp_path, "wave/a.avi")
    told = refused(read_hmdb51, tmp_path, tmp_path, line=2, column=column, says=says)
    assert told.file == str(annotations)


def test_hmdb51_without_lists(tmp_path):
    with pytest.raises(AnnotationError, match="_test_split2.txt"):
        read_hmdb51(tmp_path, tmp_path, split=2)
    with pytest.raises(ValueError, match="split is 4"):
        read_hmdb51(tmp_path, tmp_path, split=4)


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        ("b.mp4", 2, "'label' is missing"),
        ("b.mp4,1,2", 3, ["3 columns, but there must be 2", "'2' is too many"]),
        ("b.mp4,-1", "2 (label)", "no whole number of at least 0"),
        ("b.mp4,1.0", "2 (label)", "no whole number"),
        ("b.mp4,run", "2 (label)", "no whole number"),
        ("b.mp4,1000000000", "2 (label)", ["more than 100,000 classes", "`classes`"]),
        ("b.mp4,²", "2 (label)", "no whole number"),
        (",1", "1 (path)", "it is empty"),
        ("a.mp4,0", "1 (path)", "the same segment is in line 1"),
        ("/b.mp4,0", "1 (path)", ["it is absolute", "allow_outside=True"]),
        ("x/../../b.mp4,0", "1 (path)", "it has '..' in it"),
        ("C:\\b.mp4,0", "1 (path)", "it is absolute"),
        ("\\\\server\\b.mp4,0", "1 (path)", "it is absolute"),
        ("x\\..\\b.mp4,0", "1 (path)", "it has '..' in it"),
    ],
)
def test_plain_rows(tmp_path, row, column, says):
    annotations = write(tmp_path / "l.csv", f"a.mp4,0\n{row}\n")
    refused(read_csv, annotations, touch(tmp_path, "a.mp4"), line=2, column=column, says=says)


def test_plain_labels_out_of_range_of_the_classes(tmp_path):
    annotations = write(tmp_path / "l.csv", "a.mp4 0\nb.mp4 2\n")
    refused(
        *(read_csv, annotations, touch(tmp_path, "a.mp4")),
        **{"line": 2, "column": "2 (label)", "classes": ["jump", "run"]},
        says="the label is 2, but labels run from 0 to 1",
    )


def test_plain_times(tmp_path):
    annotations = write(tmp_path / "l.csv", "path,label,start,end\na.mp4,0,3,2\n")
    refused(
        *(read_csv, annotations, touch(tmp_path, "a.mp4")),
        **{"line": 2, "column": "4 (end)", "says": "it ends at 2 s, but starts at 3 s"},
    )


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


def test_folders(tmp_path):
    for name in ("nothing", "empty/a"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(AnnotationError, match="no folder in it"):
        read_folder(tmp_path / "nothing")
    with pytest.raises(AnnotationError, match="no video in its 1 folder"):
        read_folder(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        read_folder(tmp_path / "not there")
    root = touch(tmp_path / "v", "jump/a.mp4", "hop/b.mp4")
    with pytest.raises(AnnotationError, match="'hop' is none of the 1 classes"):
        read_folder(root, classes=["jump"])


def test_an_unknown_format(tmp_path):
    annotations = kinetics(tmp_path, GOOD)
    with pytest.raises(ValueError, match="Did you mean 'kinetics'?"):
        read_annotations(annotations, tmp_path, format="kinetic")


def test_errors_travel_between_processes(tmp_path):
    error = AnnotationError("why", "file.csv", 3, "2 (label)")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "file.csv, line 3, column 2 (label): why"
    assert (again.line, again.column, again.reason) == (3, "2 (label)", "why")

"""The Korean edition: of the English text as it is now, and built of the English notebooks.

Nothing is run: code and outputs are those of the English edition, which other tests run.
"""

import re
import shutil
import subprocess
from collections import Counter

import jupytext
import nbformat
import pytest
from build import CODE, FOLDER, KOREAN, korean, mark, translations
from outputs import committed

in_korean = pytest.mark.parametrize("file", KOREAN, ids=lambda path: path.stem)


def english(file) -> list[tuple[int, str]]:
    """The text cells of the English source, with their numbers."""
    cells = jupytext.read(FOLDER / "src" / f"{file.stem}.py").cells
    return [(n, cell.source) for n, cell in enumerate(cells) if cell.cell_type == "markdown"]


def outdated(words: dict[str, str], texts: list[tuple[int, str]]) -> list[str]:
    """What is not translated, or of a text that is no more."""
    marks = {mark(text): text for _, text in texts}
    new = [
        f"cell {number} (mark {mark(text)}) is new or has changed: {' '.join(text.split())[:60]}"
        for number, text in texts
        if mark(text) not in words
    ]
    old = [
        f"of a text that is no more: {' '.join(text.split())[:60]}"
        for each, text in words.items()
        if each not in marks
    ]
    return new + old


def test_the_first_four_notebooks_are_there():
    assert [file.stem[:2] for file in KOREAN] == ["00", "01", "02", "03"]


@in_korean
def test_every_cell_is_translated_and_none_has_changed_since(file):
    found = outdated(translations(file.read_text("utf-8")), english(file))
    assert not found, "\n".join([f"notebooks/src/ko/{file.name}:", *found])


@in_korean
def test_it_is_built_of_the_english_one(file):
    path = FOLDER / "ko" / f"{file.stem}.ipynb"
    wanted = korean(file, committed(FOLDER / "src" / f"{file.stem}.py"))
    found = [path.read_text("utf-8")]
    if shutil.which("git"):  # a learner may have run the file
        command = ["git", "show", f"HEAD:./{path.name}"]
        shown = subprocess.run(command, cwd=path.parent, capture_output=True, encoding="utf-8")
        found += [shown.stdout] * (shown.returncode == 0)
    found = [nbformat.reads(text, as_version=4) for text in found]
    assert wanted in found, "run `python notebooks/build.py ko`"
    texts = [cell.source for cell in wanted.cells if cell.cell_type == "markdown"]
    for target in re.findall(r"\]\((?!http)([^)#\s]+)", "\n".join(texts)):
        assert (path.parent / target).exists(), target


SAME = {  # of a text and its translation
    "links": r"\]\(([^)\s]+)\)",
    "code": r"`([^`]+)`",
    "maths": r"\$([^$]+)\$",
    "folds": r"(</?details>|</summary>)",
}


def lost(ours: str, text: str) -> list[str]:
    """What a translation has not, or has more: links, code, maths, folds; numbers it has not."""
    text, count = re.subn("```.*?```", CODE, text, flags=re.S)
    found = [] if ours.count(CODE) == count else ["pieces of code"]
    for name, pattern in SAME.items():
        a, b = (Counter(re.findall(pattern, each)) for each in (ours, text))
        if name in ("links", "code", "maths"):  # a term may be said once more
            a, b = set(a), set(b)
        found += [] if a == b else [f"{name}: {a} is not {b}"]
    a, b = (Counter(re.findall(r"\d+(?:[.,]\d+)*", each)) for each in (ours, text))
    found += [f"numbers: {dict(b - a)}"] * bool(b - a)
    return found + ["Korean"] * (len(re.findall("[가-힣]", ours)) < len(text) / 8)


@in_korean
def test_a_translation_has_the_links_code_maths_and_numbers_of_the_english_text(file):
    words = translations(file.read_text("utf-8"))
    editions = f"({file.stem}.ipynb)", f"(ko/{file.stem}.ipynb)"
    for number, text in english(file):
        ours = words[mark(text)]
        for each in editions:
            ours, text = ours.replace(each, "()"), text.replace(each, "()")
        assert not lost(ours, text), f"cell {number}: {lost(ours, text)}"


def test_what_a_translation_has_lost_is_named():
    text = "Two of 3,136 `tokens` in [03](03.ipynb):\n```\nx = 1\n```\n$n_t$ and 0.5 %."
    ours = f"[03](03.ipynb)의 3,136개 `tokens` 가운데 두 개입니다.\n{CODE}\n$n_t$와 0.5 %입니다."
    assert lost(ours, text) == []
    for part in ("3,136", "`tokens`", "[03](03.ipynb)", CODE, "$n_t$", "0.5"):
        assert len(lost(ours.replace(part, ""), text)) >= 1, part
    assert lost(text.replace("```\nx = 1\n```", CODE), text) == ["Korean"]


def test_a_changed_cell_is_named():
    marks = mark("One"), mark("Two")
    words = translations("<!-- cell 0 · {} -->\n하나\n\n<!-- cell 2 · {} -->\n둘\n".format(*marks))
    assert words == {mark("One"): "하나", mark("Two"): "둘"}
    assert outdated(words, [(0, "One"), (2, "Two")]) == []
    new, old = outdated(words, [(0, "One"), (3, "Two clips")])
    assert new == f"cell 3 (mark {mark('Two clips')}) is new or has changed: Two clips"
    assert old == "of a text that is no more: 둘"

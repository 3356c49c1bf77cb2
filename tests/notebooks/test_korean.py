"""The Korean edition: of the English text as it is now, and built of the English notebooks.

Nothing is run: code and outputs are those of the English edition, which other tests run.
"""

import re
import shutil
import subprocess

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


@in_korean
def test_each_cell_is_in_korean_with_the_code_and_the_links_of_the_english_text(file):
    words = translations(file.read_text("utf-8"))
    for number, text in english(file):
        ours = words[mark(text)]
        assert ours.count(CODE) == text.count("```") / 2 and "```" not in ours, f"cell {number}"
        links, theirs = (set(re.findall(r"\]\(([^)]+)\)", each)) for each in (ours, text))
        editions = {f"{file.stem}.ipynb", f"ko/{file.stem}.ipynb"}
        assert links - editions == theirs - editions, f"cell {number}"
        assert len(re.findall("[가-힣]", ours)) > len(re.sub("```.*?```", "", text, flags=re.S)) / 6


def test_a_changed_cell_is_named():
    marks = mark("One"), mark("Two")
    words = translations("<!-- cell 0 · {} -->\n하나\n\n<!-- cell 2 · {} -->\n둘\n".format(*marks))
    assert words == {mark("One"): "하나", mark("Two"): "둘"}
    assert outdated(words, [(0, "One"), (2, "Two")]) == []
    new, old = outdated(words, [(0, "One"), (3, "Two clips")])
    assert new == f"cell 3 (mark {mark('Two clips')}) is new or has changed: Two clips"
    assert old == "of a text that is no more: 둘"

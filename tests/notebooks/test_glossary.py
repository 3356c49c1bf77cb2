"""The first use of each word of the glossary is linked to its place in it, in every notebook."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from build import FOLDER, GLOSSARY, KOREAN, SOURCES, glossary_notebook, korean, link, unexecuted
from nbconvert.filters import markdown2html

QUIET = {"h1", "h2", "h3", "h4", "h5", "h6", "code", "pre", "th", "summary"}
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.S)


def table() -> dict[str, tuple[str, str, str]]:
    """Of each word: the cell that names it, and its meanings in English and Korean."""
    rows = [line.strip("| ").split(" | ") for line in GLOSSARY.read_text("utf-8").splitlines()]
    return {row[0].split("**")[1]: tuple(row) for row in rows if row[0].startswith("**")}


def spellings(korean: bool) -> dict[str, str]:
    """The word that each spelling belongs to, by the rule that the glossary states."""
    found = {}
    for name, (cell, *_) in table().items():
        english, _, other = cell.partition(" · ")
        words = other if korean and other else english.replace("**", "").replace(" (", ", ", 1)
        only = re.search(r"\[(.*)]", words)
        counted = only[1] if only else words.replace(")", "")
        found |= dict.fromkeys(counted.lower().split(", "), name)
    return found


class Prose(HTMLParser):
    """What of a cell may get links: pieces of text, each with the link that it has, if any."""

    def __init__(self, text: str):
        super().__init__()
        self.pieces, self.quiet, self.target = [], 0, None
        self.feed(markdown2html(MATHS.sub(" ", text)))

    def handle_starttag(self, tag, attributes):
        self.quiet += tag in QUIET
        if tag == "a":
            self.target = dict(attributes)

    def handle_endtag(self, tag):
        self.quiet -= tag in QUIET
        if tag == "a":
            self.target = None

    def handle_data(self, data):
        if not self.quiet and data != "¶":
            self.pieces.append((data, self.target))


def uses(text: str, korean: bool) -> list[tuple[str, dict | None]]:
    """Every use of a word in the prose of a text, in order: the word, and the link that it has."""
    known, found = spellings(korean), []
    letters = r"[a-z\d-]" if korean else r"[\w-]"  # a Korean word may have a particle
    words = "|".join(re.escape(word) for word in sorted(known, key=len, reverse=True))
    for piece, target in Prose(text).pieces:
        assert "*" not in piece, piece  # emphasis that a link has broken
        if target is None or "glossary.ipynb#" in target["href"]:
            piece = " ".join(piece.lower().split())
            for each in re.finditer(rf"(?<![\w-])({words})s?(?!{letters})", piece):
                found.append((known[each[1]], target))
    return found


def check_links(cells: list, folder: Path, korean: bool) -> None:
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    found, seen = [use for text in texts for use in uses(text, korean)], set()
    assert found
    places = {cell.id for cell in glossary_notebook().cells}
    for word, target in found:
        assert (target is None) == (word in seen), f"{word}: {target}"
        seen.add(word)
        if target:
            assert target["title"] == table()[word][2 if korean else 1], word
            address, _, place = target["href"].partition("#cell-id=")
            assert (folder / address).exists() and place in places, target["href"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_first_use_of_each_word_is_linked_and_no_other(source):
    check_links(unexecuted(source).cells, FOLDER, korean=False)


@pytest.mark.parametrize("file", KOREAN, ids=lambda path: path.stem)
def test_so_it_is_in_korean_with_the_meaning_in_korean(file):
    english = unexecuted(FOLDER / "src" / f"{file.stem}.py")
    check_links(korean(file, english).cells, FOLDER / "ko", korean=True)


def test_a_link_stands_in_prose_only():
    text = """# A tubelet
A tubelet-like `tubelet`, a tubeletter, $tubelet$ and [a tubelet](x.ipynb): but <b title="tubelet">
**Tubelets**</b>, tubelet. The *logit
lens*, <details><summary>evenly spread patches</summary>

| tubelet patch |
|---|
| a logit |

```python
voxel
```
"""
    cell, wanted = nbformat.v4.new_markdown_cell(text), text
    link([cell])
    linked = ("**Tubelets**", "tubelet"), ("*logit\nlens*", "logit-lens"), ("logit |", "logit")
    for words, place in linked:
        meaning = table()[place.replace("-", " ")][1]
        word = words.rstrip(" |")
        with_link = f'[{word}](glossary.ipynb#cell-id={place} "{meaning}")'
        assert wanted.count(words) == 1
        wanted = wanted.replace(words, words.replace(word, with_link))
    assert cell.source == wanted


def test_the_glossary_is_a_notebook_with_a_place_for_each_word_in_both_languages():
    built = nbformat.read(FOLDER / "glossary.ipynb", as_version=4)
    assert built == glossary_notebook(), "run `python notebooks/build.py ko`"
    places = {cell.id: cell.source for cell in built.cells[1:]}
    assert len(places) == len(table()) > 40
    for name, (_, meaning, other) in table().items():
        text = places[re.sub(r"\W+", "-", name)]
        assert f"### {name}\n" in text and meaning in text and other in text
        assert '"' not in meaning + other and "(" not in name  # they stand in the title of a link

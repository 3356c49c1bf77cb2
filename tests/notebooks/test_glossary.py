"""The first use of each word of the glossary is linked to its place in it, in every notebook."""

import re
from html.parser import HTMLParser

import nbformat
import pytest
from build import FOLDER, GLOSSARY, SOURCES, glossary_notebook, link, unexecuted
from nbconvert.filters import markdown2html

QUIET = {"h1", "h2", "h3", "h4", "h5", "h6", "code", "pre", "th", "summary"}
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.S)


def table() -> dict[str, tuple[str, str, str]]:
    """Of each word: the cell that names it, and its meanings in English and Korean."""
    rows = [line.strip("| ").split(" | ") for line in GLOSSARY.read_text("utf-8").splitlines()]
    return {row[0].split("**")[1]: tuple(row) for row in rows if row[0].startswith("**")}


def spellings() -> dict[str, str]:
    """The word that each spelling belongs to, by the rule that the glossary states."""
    found = {}
    for name, (cell, *_) in table().items():
        english = cell.partition(" · ")[0]
        only, also = re.search(r"\[(.*)]", english), re.search(r"\((.*)\)", english)
        counted = only[1] if only else f"{name}, {also[1]}" if also else name
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


def uses(text: str) -> list[tuple[str, dict | None]]:
    """Every use of a word in the prose of a text, in order: the word, and the link that it has."""
    known, found = spellings(), []
    words = "|".join(re.escape(word) for word in sorted(known, key=len, reverse=True))
    for piece, target in Prose(text).pieces:
        if target is None or target["href"].startswith("glossary.ipynb#"):
            for each in re.finditer(
                rf"(?<![\w-])({words})s?(?![\w-])", " ".join(piece.lower().split())
            ):
                found.append((known[each[1]], target))
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_first_use_of_each_word_is_linked_and_no_other(source):
    cells = [cell.source for cell in unexecuted(source).cells if cell.cell_type == "markdown"]
    found, seen = [use for text in cells for use in uses(text)], set()
    assert found
    places = {cell.id for cell in glossary_notebook().cells}
    for word, target in found:
        assert (target is None) == (word in seen), f"{word}: {target}"
        seen.add(word)
        if target:
            assert target["title"] == table()[word][1], word
            address, _, place = target["href"].partition("#cell-id=")
            assert (FOLDER / address).exists() and place in places, target["href"]


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
    linked = ("Tubelets**", "tubelet"), ("logit\nlens", "logit-lens"), ("logit |", "logit")
    for words, place in linked:
        meaning = table()[place.replace("-", " ")][1]
        word = words.rstrip("* |")
        with_link = f'[{word}](glossary.ipynb#cell-id={place} "{meaning}")'
        assert wanted.count(words) == 1
        wanted = wanted.replace(words, words.replace(word, with_link))
    assert cell.source == wanted


def test_the_glossary_is_a_notebook_with_a_place_for_each_word_in_both_languages():
    built = nbformat.read(FOLDER / "glossary.ipynb", as_version=4)
    assert built == glossary_notebook(), "run `python notebooks/build.py glossary`"
    places = {cell.id: cell.source for cell in built.cells[1:]}
    assert len(places) == len(table()) > 40
    for name, (_, meaning, korean) in table().items():
        text = places[re.sub(r"\W+", "-", name)]
        assert f"### {name}\n" in text and meaning in text and korean in text
        assert '"' not in meaning + korean and "(" not in name  # they stand in the title of a link

"""Build notebooks/*.ipynb from notebooks/src/*.py, executed, with their outputs.

    make notebooks        or, for some:        python notebooks/build.py 02

The sources are the truth. A built notebook keeps what a reader without a kernel can see (text,
plots, the still of each explorer) and drops what only a running kernel could use. The first use of
every word of src/glossary.md gets a link to its place in glossary.ipynb, with the meaning as title.

The Korean edition, ko/*.ipynb, is the built English one with the text of src/ko/*.md: nothing is
run again. A cell whose English text has changed since it was translated is in English there.
"""

import hashlib
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from vivit_lab.widgets.surface import HIDE_LOST

FOLDER = Path(__file__).resolve().parent
SOURCES = sorted((FOLDER / "src").glob("*.py"))
KOREAN = sorted((FOLDER / "src" / "ko").glob("*.md"))
GLOSSARY = FOLDER / "src" / "glossary.md"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 600  # seconds a cell
ROW = re.compile(  # of the glossary
    r"\| \*\*(?P<name>.+?)\*\*(?: \((?P<also>.+?)\))?(?: \[(?P<only>.+?)\])?"
    r"(?: · (?P<korean>[^|[]+?)(?: \[(?P<only_korean>.+?)\])?)?"
    r" \| (?P<meaning>.+?) \| (?P<meaning_korean>.+?) \|\n"
)
CLOSED = (  # where no link may stand: code, maths, links, HTML, headings, the first row of a table
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|!?\[[^]]*\]\([^)]*\)|https?:\S+"
    r"|<summary>.*?</summary>|</?[a-z][^>]*>|^ *#+ [^\n]*|^\|[^\n]*(?=\n\|[ :-]*--)"
)


def glossary() -> list[dict[str, str]]:
    """The rows of the glossary, in the order of the alphabet."""
    rows = [found.groupdict("") for found in ROW.finditer(GLOSSARY.read_text(encoding="utf-8"))]
    return sorted(rows, key=lambda row: row["name"].lower())


def slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def glossary_notebook() -> nbformat.NotebookNode:
    """A cell for each word, named after it: links in JupyterLab lead to cells by their names."""
    text = GLOSSARY.read_text(encoding="utf-8").partition("<!--")[0].strip()
    notebook = numbered(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]))
    for row in glossary():
        also, korean = (f"**{each}** · " if each else "" for each in (row["also"], row["korean"]))
        text = f"### {row['name']}\n\n{also}{row['meaning']}\n\n{korean}{row['meaning_korean']}"
        notebook.cells.append(nbformat.v4.new_markdown_cell(text, id=slug(row["name"])))
    return notebook


def link(cells: list[nbformat.NotebookNode], korean: bool = False) -> None:
    """Link the first use of each word of the glossary in the text of some cells."""
    rows = {}
    for row in glossary():
        words = row["only"] or f"{row['name']}, {row['also']}".strip(", ")
        words = row["only_korean"] or row["korean"] or words if korean else words
        rows |= dict.fromkeys(words.lower().split(", "), row)
    meaning, folder, letter = (
        ("meaning_korean", "../", r"[a-z\d-]") if korean else ("meaning", "", r"[\w-]")
    )  # in Korean a particle follows a word without a space
    words = "|".join(sorted(map(re.escape, rows), key=len, reverse=True)).replace(r"\ ", r"\s+")
    pattern = (
        rf"({CLOSED})|(\**)(?<![\w-])({words})s?(?!{letter})(\2)"  # `*(...)*의` is no emphasis
    )

    def linked(found: re.Match) -> str:
        row = rows.get(re.sub(r"\s+", " ", found[3] or "").lower())
        if row is None or row["name"] in seen:
            return found[0]
        seen.add(row["name"])
        return f'[{found[0]}]({folder}glossary.ipynb#cell-id={slug(row["name"])} "{row[meaning]}")'

    seen = set()
    for cell in cells:
        cell.source = re.sub(pattern, linked, cell.source, flags=re.S | re.M | re.I)


def unexecuted(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs; cells are numbered, so that a diff is small."""
    notebook = jupytext.read(source)
    link([cell for cell in notebook.cells if cell.cell_type == "markdown"])
    return numbered(notebook)


def numbered(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    return notebook


LINK = r'\[([^]]*)\]\(glossary\.ipynb#\S+ "[^"]*"\)'  # that `link` makes
CODE = "<!-- code -->"  # in a translation: the next piece of code of the English text


def translations(text: str) -> dict[str, str]:
    """The cells of a file of src/ko, by the mark of the English text that each translates."""
    _, *parts = re.split(r"^<!-- cell \d+ · (\w+) -->\n", text, flags=re.M)
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


def mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def korean(file: Path, english: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The Korean edition of a built notebook, which is changed in place."""
    words = translations(file.read_text(encoding="utf-8"))
    there = [f"{each.stem}.ipynb" for each in KOREAN if each != file]  # itself: the English one

    def moved(found: re.Match) -> str:
        return found[0] if found[1] in there else f"](../{found[1]})"

    texts = [cell for cell in english.cells if cell.cell_type == "markdown"]
    for cell in texts:
        plain = re.sub(LINK, r"\1", cell.source)
        text = words.get(mark(plain), plain)
        for code in re.findall(r"```.*?```", plain, flags=re.S):
            text = text.replace(CODE, code, 1)
        cell.source = re.sub(r"\]\((?!https?:)([^)]+)\)", moved, text)
    link(texts, korean=True)
    return english


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells, top to bottom, in `folder`; the first error ends it."""
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        startup_timeout=TIMEOUT,
        iopub_timeout=TIMEOUT,  # by default what comes 4 s after a cell has ended is left out
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # how many pieces a text comes in is chance
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what needs a kernel: of an explorer the still is left, which is HTML.

    That is shown wherever HTML is, and the only way to keep the picture's alternative text.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in (data := output.get("data", {})):
                data["text/html"] = data["text/html"].replace(HIDE_LOST, "")
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if WIDGET_VIEW not in o.get("data", {})]
    notebook.metadata.pop("widgets", None)
    return notebook


def main(wanted: list[str]) -> None:
    nbformat.write(glossary_notebook(), FOLDER / "glossary.ipynb")
    for source in SOURCES:
        if wanted and not any(source.name.startswith(start) for start in wanted):
            continue
        start = time.monotonic()
        target = FOLDER / f"{source.stem}.ipynb"
        nbformat.write(stripped(execute(unexecuted(source), FOLDER)), target)
        seconds, size = time.monotonic() - start, target.stat().st_size / 1000
        print(f"{target.name}: {seconds:.0f} s, {size:.0f} kB", flush=True)
    for file in KOREAN:
        english = nbformat.read(FOLDER / f"{file.stem}.ipynb", as_version=4)
        nbformat.write(korean(file, english), FOLDER / "ko" / f"{file.stem}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])

"""One table, as text for a terminal and as HTML for a notebook, with lines above and below it."""

import html
from collections.abc import Sequence

STYLE = "padding:2px 14px 2px 0;vertical-align:top;font-size:13px;text-align:"
Lines = Sequence[str]


def as_text(rows: Sequence[Lines], align: str = "l", above: Lines = (), below: Lines = ()) -> str:
    """The table with columns as wide as their longest cell.

    align: a letter a column, "l" or "r"; the last letter holds for the columns after it.

    >>> print(as_text([("part", "MACs"), ("mlp", "12"), ("total", "12")], "lr", ["Model 1"]))
    Model 1
    part   MACs
    mlp      12
    total    12
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = align + align[-1] * len(widths)
    lines = []
    for row in rows:
        cells = zip(row, widths, sides, strict=False)
        padded = (cell.rjust(n) if side == "r" else cell.ljust(n) for cell, n, side in cells)
        lines.append("  ".join(padded).rstrip())
    return "\n".join([*above, *lines, *below])


def as_html(rows: Sequence[Lines], align: str = "l", above: Lines = (), below: Lines = ()) -> str:
    """The same for a notebook; the first line above it is bold. Colours are those of the theme."""
    sides = align + align[-1] * max(map(len, rows), default=0)
    body = ""
    for row in rows:
        body += "<tr>"
        for cell, side in zip(row, sides, strict=False):
            where = "right" if side == "r" else "left"
            body += f'<td style="{STYLE}{where}">{html.escape(cell)}</td>'
        body += "</tr>"
    first, *others = [html.escape(line) for line in above] or [""]
    heading = f"<div><b>{first}</b></div>" + "".join(f"<div>{line}</div>" for line in others)
    notes = "".join(f"<div>{html.escape(line)}</div>" for line in below)
    return f'{heading}<table style="border-collapse:collapse">{body}</table>{notes}'


class Tabular:
    """What is printed as a table; `_table()` gives the arguments of `as_text`, and of `as_html`."""

    def __str__(self) -> str:
        return as_text(*self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return as_html(*self._table())

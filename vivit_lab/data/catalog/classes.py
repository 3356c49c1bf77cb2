"""The names of classes, in an order that no file can shift once it is fixed."""

import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from vivit_lab.data.catalog.json_files import read_json
from vivit_lab.data.catalog.segments import AnnotationError, ClassNames
from vivit_lab.data.catalog.tables import Row


class Classes:
    """Names and their numbers. Spaces and underscores in a name are alike; nothing else is.

    Raises AnnotationError for names that are no texts, empty, or there twice.

    >>> classes = Classes(["jump", "high_jump"], "classes.json")
    >>> classes.number("high jump")
    1
    """

    def __init__(self, names: Iterable[str], source: str | os.PathLike):
        self.names, self.source = list(names), source
        for place, name in enumerate(self.names):
            if not isinstance(name, str) or not name.strip():
                raise AnnotationError(f"class {place} is {name!r}, but must be a name.", source)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        if len(self._numbers) < len(self.names):
            twice = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            raise AnnotationError(f"the class {twice!r} is there twice.", source)
        if not self.names:
            raise AnnotationError("there is no class.", source)
        self._alike: dict[str, list[int]] = {}
        for name, number in self._numbers.items():
            self._alike.setdefault(name.replace(" ", "_"), []).append(number)

    @classmethod
    def given(
        cls,
        classes: ClassNames | str | os.PathLike | None,
        source: str | os.PathLike,
        owners: Callable[[Path], list[str]] | None = None,
    ) -> "Classes | None":
        """From names, or a file of `Catalog.save_classes` or of the data set's owners (which
        `owners` reads); None if nothing is given. `source` is what errors call a plain list."""
        if classes is None:
            return None
        if isinstance(classes, (str, os.PathLike)):
            path = Path(classes)
            if path.suffix.lower() == ".json" or owners is None:
                saved = read_json(path)
                if isinstance(saved, list):
                    return cls(saved, path)
                if owners is None or not isinstance(saved, dict):
                    raise AnnotationError('it must be a list of names, ["jump", ...].', path)
            return cls(owners(path), path)
        if isinstance(classes, dict) or not isinstance(classes, Iterable):
            raise TypeError(
                f"classes is {str(classes)[:60]}, but must be a list of names, or a file of them."
            )
        return cls(classes, source)

    def __len__(self) -> int:
        return len(self.names)

    def get(self, name: str) -> int | None:
        """The number of a class, or None."""
        if name in self._numbers:
            return self._numbers[name]
        alike = self._alike.get(name.replace(" ", "_"), ())
        return alike[0] if len(alike) == 1 else None

    def number(self, name: str, row: Row | None = None, column: str = "label") -> int:
        """The number of a class; AnnotationError, with the closest name, if there is none."""
        number = self.get(name)
        if number is None:
            reason = self.unknown(name)
            raise row.error(column, reason) if row else AnnotationError(reason, self.source)
        return number

    def unknown(self, name: str) -> str:
        """The sentence that says so, with the closest name."""
        close = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"{name!r} is none of the {len(self):,} classes of {self.source}.{hint}"

    def in_range(self, row: Row, column: str) -> int:
        """A label that is written as a whole number from 0 to the number of classes - 1."""
        label = row.whole(column)
        if label >= len(self):
            raise row.error(
                column, f"the label is {label}, but labels run from 0 to {len(self) - 1}."
            )
        return label


def beside(annotations: str | os.PathLike, *names: str) -> Path:
    """The first of the files `names` that lies beside the annotation file."""
    folder = Path(annotations).absolute().parent
    for name in names:
        if (folder / name).is_file():
            return folder / name
    listed = " or ".join(dict.fromkeys(names))
    raise FileNotFoundError(
        f"The classes of {annotations} are in {listed}, which is not beside it. Give its path, or "
        "the names in their order, as `classes`."
    )

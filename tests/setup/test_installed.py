"""Installed without -e, the package still has its clips, weights and stored runs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRY = """
from pathlib import Path
import vivit_lab
from vivit_lab.data.samples import ASSETS, samples
from vivit_lab.weights import small_image_vit
assert ASSETS.parent == Path(vivit_lab.__file__).parent == Path({built!r}, "vivit_lab")
assert {{"counter", "bars"}} <= set(samples()) and small_image_vit().state
"""


def test_the_data_of_assets_are_built_into_the_package(tmp_path):
    build = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    build += ["build_py", "--build-lib", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    built, assets = tmp_path / "vivit_lab" / "assets", ROOT / "assets"
    wanted = {file for file in assets.rglob("*") if file.suffix not in ("", ".py", ".pyc")}
    wanted = {file.relative_to(assets) for file in wanted} - {Path("screenshot.jpg")}
    found = {file.relative_to(built) for file in built.rglob("*") if file.is_file()}
    assert found == wanted and len(found) > 20
    code, around = TRY.format(built=str(tmp_path)), os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=around, check=True)

"""All is said in pyproject.toml, but that an installed package carries the data of assets/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

NOT_DATA = shutil.ignore_patterns("*.py", "__pycache__", "screenshot.jpg")


class WithAssets(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # which finds them beside the package, as a clone does
            target = Path(self.build_lib, "vivit_lab", "assets")
            shutil.copytree("assets", target, ignore=NOT_DATA, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithAssets})

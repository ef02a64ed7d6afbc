"""Builds the package; everything that describes it stands in setup.cfg."""

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class FreshBuild(build_py):
    """Starts from an empty folder: modules that are gone must not be installed."""

    def run(self) -> None:
        """Removes what an earlier build left, then builds."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": FreshBuild})

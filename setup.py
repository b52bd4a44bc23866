"""Packages are found, not listed; the cards in datasets/ become psp.datasets in the wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["psp", "psp.*"]), "psp.datasets"],
    package_dir={"psp.datasets": "datasets"},
    package_data={
        "psp": ["py.typed", "*/*.toml", "pages/templates/*"],
        "psp.datasets": ["*.toml"],
    },
)

"""The rooms lie at the top of the repository and are packaged under one name, ``clearsight``."""

from setuptools import find_packages, setup

ROOMS = ("data", "restore", "defend", "pipelines")

found = [f"{room}.{name}" for room in ROOMS for name in find_packages(room)]

setup(
    package_dir={"clearsight": "clearsight"} | {f"clearsight.{room}": room for room in ROOMS},
    packages=["clearsight", *(f"clearsight.{name}" for name in (*ROOMS, *found))],
)

"Reads settings.ini, which nbdev shares, so that every fact about the package is written once."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

extras = {key.removesuffix("_requirements"): value.split() for key, value in cfg.items() if key.endswith("_requirements")}
extras["dev"] = sum(extras.values(), [])  # the tests need all

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], author=cfg["author"],
    url=cfg["git_url"], license="Apache-2.0", keywords=cfg["keywords"],
    long_description=(here / "README.md").read_text(encoding="utf-8") if (here / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    packages=find_packages(include=["kdnb", "kdnb.*"]), package_data={"kdnb": ["embedded/*"]},
    python_requires=">=" + cfg["min_python"], install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split(),
                  "nbdev": ["kdnb=kdnb._modidx:d"]},
    zip_safe=False,
)

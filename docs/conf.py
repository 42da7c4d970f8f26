"""Settings of the documentation site: ``make docs`` builds it into ``build/docs``.

The source folder is the root of the repository, so that pages keep their relative links to examples and to the
LAMMPS plugin, on the site as on the web page of the repository.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from tnep_calc import __version__

project = "tnep_calc"
copyright = "the tnep_calc developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",  # formulas without a network
    "commands",
    "configuration",
    "modules",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "examples/**", "lammps_plugin/**", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "demo", "tests", "tnep_calc", "training", "docs/_ext", "examples/**/in.*"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
highlight_language = "none"  # commands and tables; blocks of Python say so
default_role = "literal"  # `name` in docstrings is a parameter

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have the types
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"tnep_calc {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_show_sphinx = False

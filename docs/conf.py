"""Settings of the documentation site: ``make docs`` builds it into ``build/docs``.

The source folder is the root of the repository.  Relative links of pages to examples and to the LAMMPS plugin therefore
work both on the site and on the web page of the repository.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from tnep_calc import __version__

project = "tnep_calc"
copyright = "the tnep_calc developers"
version = release = __version__

extensions = [
    "myst_nb",  # Markdown, and the tutorials, which are executed
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",  # formulas without a network
    "commands",
    "configuration",
    "history",
    "modules",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "examples/**", "lammps_plugin/**", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "demo", "tests", "tnep_calc", "training", "docs/_ext", "examples/**/in.*"]

nb_execution_mode = os.environ.get("TNEP_DOCS_NOTEBOOKS", "cache")  # "off": without their figures
nb_execution_cache_path = str(Path(__file__).parents[1] / "build" / "notebooks")
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # commands of this environment
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
highlight_language = "none"  # commands and tables; blocks of Python say so
default_role = "literal"  # `name` in docstrings is a parameter

suppress_warnings = ["ref.python"]  # classes of different modules may have the same name
if nb_execution_mode == "off":
    suppress_warnings.append("myst-nb.lexer")  # the language of a cell is known from its execution
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

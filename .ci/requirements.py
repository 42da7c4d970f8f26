"""Print the package's requirements and those of the named extras, one a line, for pip."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for group in (project["dependencies"], *(project["optional-dependencies"][name] for name in sys.argv[1:])):
    print("\n".join(group))

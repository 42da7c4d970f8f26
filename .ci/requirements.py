"""Print the package's requirements and those of the named extras, one a line, for pip.

With ``--minimum`` every lower bound becomes the version itself (``>=3.24`` is printed as ``==3.24``).
"""

import sys
import tomllib
from pathlib import Path

minimum = "--minimum" in sys.argv
extras = [name for name in sys.argv[1:] if name != "--minimum"]
project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for group in (project["dependencies"], *(project["optional-dependencies"][name] for name in extras)):
    for requirement in group:
        print(requirement.replace(">=", "==") if minimum else requirement)

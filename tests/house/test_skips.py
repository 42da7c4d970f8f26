"""In a complete installation, only skips for the listed reasons are allowed."""

import os
import subprocess
import sys

import pytest

from helpers.optional import OPTIONAL, absent, entry_of
from helpers.paths import DATA, ROOT, shared_data

pytestmark = pytest.mark.slow

TEST = """
import pytest

def test_given():
    pytest.skip({reason!r})
"""


def outcome(folder, reason, full=True, module=False):
    """Run a test that is skipped, with the rules of tests/conftest.py, and return pytest's last line."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    text = (
        f"import pytest\npytest.skip({reason!r}, allow_module_level=True)\n" if module else TEST.format(reason=reason)
    )
    (folder / "test_given.py").write_text(text)
    environment = {k: v for k, v in os.environ.items() if k != "TNEP_EXPECT_FULL"} | (
        {"TNEP_EXPECT_FULL": "1"} if full else {}
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        str(folder),
    ]
    done = subprocess.run([*command, str(folder)], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("module", [False, True])
def test_an_unexpected_skip_is_a_failure(tmp_path, module):
    code, text = outcome(tmp_path, "the native library is not built", module=module)
    assert code != 0 and "which is not expected here: the native library is not built" in text
    assert outcome(tmp_path, "the native library is not built", full=False, module=module)[0] in (0, 5)
    assert outcome(tmp_path, "no GPU here", module=module)[0] in (0, 5)


def test_absent_optional_data_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.optional.SHARED", tmp_path)
    reason = absent("tnep/qm7b/dipole/nep.in")
    assert reason.startswith("optional data tnep/qm7b are absent: ") and "GPL-3.0" in reason
    with pytest.raises(pytest.skip.Exception, match="optional data tnep/qm7b are absent"):
        shared_data("tnep/qm7b/dipole")
    assert outcome(tmp_path, reason)[0] == 0
    with pytest.raises(KeyError, match="add it to tests/helpers/optional.py, or ship it"):
        entry_of("tnep/qm7bb")
    assert all(entry_of(name) == name for name in OPTIONAL)


def test_shipped_data_are_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 1_500_000

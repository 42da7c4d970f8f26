"""Fail tests that are skipped for an unexpected reason.

With ``TNEP_EXPECT_FULL=1``, as in ``make test``, a skip for a reason that is not listed here is a failure, so that no
test is silently left out because an expected component is missing.
"""

import os
import re

import pytest

ALLOWED = (
    r"no GPU here",
    r"there is (no|a) GPU",
    r"this processor lacks \S+",
    r"optional data \S+ are absent: .*",
    r"\S+ is not installed: pip install 'tnep_calc\[doors\]'",
    r"the emulated CUDA kernels were not built .*",
    r"there is no nvcc: .*",
)
"""Allowed reasons: another machine, a build option, an extra that ``.ci/run`` only tries to install, or optional data
(``python tests/optional_data.py`` lists them)."""


def _reason(report):
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _refuse_unexpected_skip(report):
    if "TNEP_EXPECT_FULL" not in os.environ or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _reason(report)
    if not any(re.fullmatch(pattern, reason) for pattern in ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which is not expected here: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    _refuse_unexpected_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _refuse_unexpected_skip(report)
    return report

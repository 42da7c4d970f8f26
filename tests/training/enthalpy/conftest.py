"""Fixtures of the tests of enthalpy training."""

import pytest

from helpers.enthalpy_teacher import make_teacher


@pytest.fixture(scope="module")
def teacher():
    return make_teacher()

"""Fixtures of the tests of the enthalpy family."""

import pytest

from helpers.enthalpy_teacher import make_teacher


@pytest.fixture(scope="module")
def teacher():
    return make_teacher()

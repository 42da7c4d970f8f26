"""Grids of cases of which ``make test`` runs a selection and ``make test-all`` all."""

import pytest


def grid(cases, selection):
    """Return the cases as parameters; those that are not in the selection are marked ``extended``.

    A case is a value or a tuple of values for ``pytest.mark.parametrize``.
    """
    cases = list(cases)
    unknown = [case for case in selection if case not in cases]
    assert not unknown, f"not in the grid: {unknown}"

    def param(case):
        marks = () if case in selection else (pytest.mark.extended,)
        return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks)

    return [param(case) for case in cases]

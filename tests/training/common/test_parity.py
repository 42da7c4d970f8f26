"""The warning about models that follow details of their training structures."""

import logging

import numpy as np
import pytest

from tnep_calc.training.common.directory import write_comparison
from tnep_calc.training.common.parity import numbers_of, overfitting_warning


def panels(**errors):
    """Panels of one quantity with labels of standard deviation 1 and these RMSE by split."""
    target = np.array([[1.0], [-1.0]])
    splits = {name: numbers_of(target, target + error) for name, error in errors.items()}
    return [{"name": "forces", "unit": "eV/Å", "splits": splits}]


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ({"train": 0.02, "validation": 0.09, "test": 0.03}, "forces 4.5 times (validation);"),
        ({"train": 0.02, "validation": 0.09, "test": 0.1}, "forces 4.5 times (validation), forces 5.0 times (test);"),
        ({"train": 0.02, "test": 0.07}, None),
        ({"train": 0.001, "test": 0.009}, None),  # nine times, but negligible
        ({"train": 0.02}, None),
        ({"test": 0.5}, None),
        ({"train": 0.0, "test": 0.5}, None),
    ],
)
def test_ratio_of_errors(errors, words):
    found = overfitting_warning(panels(**errors))
    assert found is None if words is None else words in found and "larger loss.weight_decay" in found


def test_it_is_logged(tmp_path, caplog):
    write_comparison(tmp_path, panels(train=0.02, test=0.2))
    assert [r.levelno for r in caplog.records if "10.0 times (test)" in r.message] == [logging.WARNING]

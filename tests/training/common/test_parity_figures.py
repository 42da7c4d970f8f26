"""Errors and parity plots relative to the mean of each component (and species)."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tnep_calc.plotting.style import styled
from tnep_calc.plotting.training import plot_parity
from tnep_calc.training.common.parity import centers_of, load_panels, numbers_of, save_panels

RNG = np.random.default_rng(0)
SPECIES = np.arange(60) % 2
BORN = np.where(SPECIES[:, None, None] == 0, 2.0, -2.0) * np.eye(3) + 0.1 * RNG.normal(size=(60, 3, 3))


def panel(name="born_charges", unit="e", target=BORN, groups=SPECIES, noise=0.03):
    splits = {}
    for split in ("train", "validation", "test"):
        prediction = target + noise * RNG.normal(size=target.shape)
        splits[split] = numbers_of(target, prediction, 1.0, centers_of(target, groups))
    return {"name": name, "unit": unit, "splits": splits}


def test_a_model_that_knows_only_the_means_has_r2_zero():
    means = centers_of(BORN, SPECIES)
    assert numbers_of(BORN, means, center=means)["r2"] == pytest.approx(0.0)
    assert numbers_of(BORN, means)["r2"] > 0.9  # about the mean over both species it would look good
    np.testing.assert_allclose(means[0], BORN[SPECIES == 0].mean(axis=0))
    np.testing.assert_allclose(centers_of(BORN)[5], BORN.mean(axis=0))


def test_parity_of_born_charges_is_one_cloud(tmp_path):
    figure = plot_parity([panel()])
    (axes,) = figure.axes
    assert np.ptp(axes.get_xlim()) < 1.0 and axes.get_xlabel() == "label − mean (e)"
    save_panels(tmp_path, [panel()])
    (again,) = load_panels(tmp_path)
    np.testing.assert_allclose(again["splits"]["test"]["center"], centers_of(BORN, SPECIES))
    numbers = {split: {**panel()["splits"][split], **arrays} for split, arrays in again["splits"].items()}
    del numbers["test"]["center"]  # a file of an earlier version
    assert plot_parity([{**again, "splits": numbers}]).axes[0].get_xlabel() == "label (e)"


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_texts_of_a_parity_figure_do_not_overlap_and_are_readable(count):
    names = ("energy", "forces", "virial", "dipole", "born_charges", "polarizability", "epsilon_inf")
    figure = plot_parity([panel(name, "e·Å²/V/atom", groups=None) for name in names[:count]])
    with styled():
        FigureCanvasAgg(figure).draw()
    texts = [text for ax in figure.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)]
    boxes = [text.get_window_extent() for text in texts]
    width, height = figure.canvas.get_width_height()
    for k, box in enumerate(boxes):
        assert box.x0 > -5 and box.y0 > -5 and box.x1 < width + 5 and box.y1 < height + 5, texts[k].get_text()
        for other in boxes[k + 1 :]:
            assert not box.overlaps(other)
    smallest = min(text.get_fontsize() for text in texts)
    assert smallest / 72 * 1200 / figure.get_size_inches()[0] >= 9  # pixels of a page of 1,200

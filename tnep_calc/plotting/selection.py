"""Figure of an active-learning selection."""

from __future__ import annotations

import numpy as np

from .style import GREY, HEIGHT, RED, WIDTH, styled


def plot_selection(frames, uncertainty, chosen, descriptors, unit: str):
    """Plot the uncertainty along a trajectory, and a map of the structures, with the chosen ones marked.

    Parameters
    ----------
    frames : ndarray of int, shape (n,)
        Frame numbers in the trajectory.
    uncertainty : ndarray, shape (n,), in `unit`
    chosen : ndarray of int
        Indices of the chosen structures, from 0 to n - 1.
    descriptors : ndarray, shape (n, dim)
        Descriptors of the structures; the map shows their first two principal components.
    unit : str
        Unit of the uncertainty, for the labels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    centred = descriptors - descriptors.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred[:, spread > 0] / spread[spread > 0]
    left, size, _ = np.linalg.svd(scaled, full_matrices=False)
    axes = np.zeros((len(frames), 2))
    axes[:, : min(2, left.shape[1])] = (left * size)[:, :2]
    with styled():
        figure = Figure(figsize=(1.7 * WIDTH, HEIGHT))
        along, plane = figure.subplots(1, 2)
        along.plot(frames, uncertainty, ".", markersize=2, color=GREY)
        along.plot(frames[chosen], uncertainty[chosen], "o", markersize=4, color=RED, label=f"{len(chosen)} selected")
        along.set(xlabel="frame", ylabel=f"uncertainty ({unit})", ylim=(0, None))
        along.legend()
        points = plane.scatter(*axes.T, c=uncertainty, s=6, cmap="cividis")
        plane.scatter(*axes[chosen].T, s=30, facecolors="none", edgecolors=RED, linewidths=1)
        plane.set(xlabel="first principal component", ylabel="second principal component")
        figure.colorbar(points, ax=plane, label=f"uncertainty ({unit})")
        plane.set_title("descriptors of the structures", loc="left", color=GREY, fontsize=7)
    return figure

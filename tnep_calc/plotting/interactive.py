"""Interactive figures of spectra: one HTML file that contains plotly and works without a network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from ..errors import InputError, MissingComponentError
from ..io.files import atomic_output, check_output
from ..spectra.comparison import Comparison
from ..spectra.record import Spectrum
from .spectra import COLOURS

SUFFIXES = (".html", ".htm")


def check_html_name(path) -> None:
    """Raise InputError if the name of a file does not end in ``.html`` or ``.htm``."""
    if not str(path).lower().endswith(SUFFIXES):
        raise InputError(f"{path}: give the interactive figure a name that ends in .html")


def save_interactive(
    path,
    spectra: Sequence[Spectrum],
    names: Sequence[Sequence[str]],
    labels: Sequence[str],
    reference: Comparison | None = None,
    reference_label: str = "reference",
    force: bool = False,
) -> None:
    """Write columns of spectra as an interactive figure with error bands.

    Parameters
    ----------
    path : str or path
        File to write, which ends in ``.html``. It has about 5 MB, because it contains plotly.
    spectra : sequence of Spectrum
    names : sequence of sequence of str
        Columns to draw of each spectrum.
    labels : sequence of str
        Label of each spectrum.
    reference : Comparison, optional
        Comparison whose reference is drawn too.
    reference_label : str
        Label of the reference.
    force : bool
        Whether to overwrite an existing file.

    Raises
    ------
    InputError
        If the file has another suffix, or exists and `force` is not set.
    MissingComponentError
        If plotly is not installed.
    """
    check_html_name(path)
    check_output(path, force)
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise MissingComponentError(
            "an interactive figure needs the package plotly: pip install 'tnep_calc[html]'"
        ) from error
    figure = graph_objects.Figure()
    colours = cycle(COLOURS)
    for spectrum, columns, label in zip(spectra, names, labels, strict=True):
        for name in columns:
            colour = next(colours)
            text = f"{label}: {name}" if len(spectra) > 1 or len(columns) > 1 else label or name
            x, y = spectrum.wavenumber, spectrum.column(name)
            if name in spectrum.errors:
                band = spectrum.errors[name]
                figure.add_trace(
                    graph_objects.Scatter(
                        x=np.concatenate([x, x[::-1]]),
                        y=np.concatenate([y + band, (y - band)[::-1]]),
                        fill="toself",
                        fillcolor=colour,
                        opacity=0.25,
                        line={"width": 0},
                        hoverinfo="skip",
                        showlegend=False,
                        legendgroup=text,
                    )
                )
            unit = spectrum.units[name]
            hover = "%{x:.1f} cm⁻¹<br>%{y:.5g}" + ("" if unit == "1" else f" {unit}")
            figure.add_trace(
                graph_objects.Scatter(
                    x=x,
                    y=y,
                    name=text,
                    mode="lines",
                    line={"color": colour, "width": 1.6},
                    hovertemplate=hover,
                    legendgroup=text,
                )
            )
    if reference is not None:
        figure.add_trace(
            graph_objects.Scatter(
                x=reference.wavenumber,
                y=reference.reference,
                name=reference_label,
                mode="lines",
                line={"color": "#595959", "width": 1.2, "dash": "dash"},
            )
        )
    drawn = {(name, spectrum.units[name]) for spectrum, columns in zip(spectra, names, strict=True) for name in columns}
    words, units = {name for name, _ in drawn}, {unit for _, unit in drawn}
    title = " ".join(words) if len(words) == 1 else ""
    unit = units.pop() if len(units) == 1 else ""
    figure.update_layout(
        template="simple_white",
        font={"family": "sans-serif", "size": 14},
        hovermode="closest",
        xaxis_title="wavenumber (cm⁻¹)",
        margin={"l": 80, "r": 30, "t": 40, "b": 60},
        yaxis={"title": title if unit in ("", "1") else f"{title} ({unit})".strip(), "exponentformat": "power"},
        legend={"x": 0.99, "xanchor": "right", "y": 0.99},
    )
    with atomic_output(path, force) as temporary:
        figure.write_html(temporary, include_plotlyjs=True, full_html=True)

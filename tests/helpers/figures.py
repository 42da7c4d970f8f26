"""Texts of a figure that overlap or leave it."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tnep_calc.plotting.style import styled

SHRINK = 1.0  # pixels: boxes of neighbouring lines may touch


def faults_of_texts(figure) -> list[str]:
    """Return a line for each pair of texts that overlap and each text that is cut by the edge of the figure."""
    with styled():
        FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    boxes = [(text, _box(text, renderer)) for text in _texts(figure)]
    boxes += [(Text(0, 0, "a line of the legend"), _thick(line, renderer)) for line in _lines(figure)]
    found = []
    for k, (text, box) in enumerate(boxes):
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            found.append(f"'{text.get_text()}' leaves the figure")
        for other, its in boxes[k + 1 :]:
            wide = min(box.x1, its.x1) - max(box.x0, its.x0)
            tall = min(box.y1, its.y1) - max(box.y0, its.y0)
            if wide > SHRINK and tall > SHRINK:
                found.append(f"'{text.get_text()}' and '{other.get_text()}' overlap")
    return found


def _box(text, renderer):
    """Return the box of a text without its arrow and without empty lines at its start."""
    box = Text.get_window_extent(text, renderer)
    content = text.get_text()
    empty = len(content) - len(content.lstrip("\n"))
    return Bbox.from_extents(box.x0, box.y0, box.x1, box.y1 - empty / (1 + content.count("\n")) * box.height)


def _thick(line, renderer):
    """Return the box of a line, two pixels higher to both sides."""
    box = line.get_window_extent(renderer)
    return Bbox.from_extents(box.x0, box.y0 - 2, box.x1, box.y1 + 2)


def _lines(figure):
    """Return the lines in the legends of axes."""
    legends = [ax.get_legend() for ax in figure.axes if ax.axison and ax.get_legend()]
    return [line for legend in legends for line in legend.get_lines()]


def _texts(figure):
    """Return all visible texts; of ticks, only those within the limits of the axis."""
    found = [text for text in figure.texts if text.get_text()]
    legends = list(figure.legends)
    for ax in figure.axes:
        if not ax.axison:
            continue
        found += [ax.title, ax._left_title, ax._right_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        found += [ax.xaxis.get_offset_text(), ax.yaxis.get_offset_text()]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            margin = 1e-9 * (high - low)
            for tick in axis.get_major_ticks():
                if low - margin <= tick.get_loc() <= high + margin and tick.label1.get_visible():
                    found.append(tick.label1)
        if ax.get_legend():
            legends.append(ax.get_legend())
    if getattr(figure, "_supylabel", None):
        found.append(figure._supylabel)
    found += [text for legend in legends for text in legend.get_texts()]
    return [text for text in dict.fromkeys(found) if text.get_visible() and text.get_text().strip()]

"""An HTML page about a data set: its contents, the distributions of its labels, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..plotting.data import plot_consistency, plot_histograms
from ..plotting.page import Picture, Section, Table, write_page
from ..structures import LABELS, LabelledStructure
from ..units import EPSILON_0, EV_PER_A3_TO_GPA
from .checks import check_structures, energies_per_atom, summary
from .pairs import dipole_pairs, energy_pairs, quanta, slope

UNITS = {
    "energy": "eV",
    "forces": "eV/Å",
    "virial": "eV",
    "dipole": "e·Å",
    "born_charges": "e",
    "polarizability": "e·Å²/V",
    "atomic_dipole": "e·Å",
    "atomic_polarizability": "e·Å²/V",
    "polarizability_gradient": "e·Å/V",
    "electric_field": "V/Å",
}
SHOWN = 20
"""Largest number of formulas, files, or structures of one finding that are listed on the page."""


def write_data_report(
    path: str | Path, structures: Sequence[LabelledStructure], title: str = "Data set", force: bool = False
) -> None:
    """Write a self-contained HTML page about labelled structures.

    Parameters
    ----------
    path : path
        ``*.html``.
    structures : sequence of LabelledStructure
    title : str, default "Data set"
    force : bool, default False
        Overwrite an existing file.

    Raises
    ------
    InputError
        If the file exists and `force` is off, or its folder does not exist.
    """
    findings = check_structures(structures)
    rows = [(f.level, f.check, f.field, f.message, _some(f.sources)) for f in findings]
    checks: list[str | Table] = [summary(len(structures), findings).split("; '")[0]]
    if rows:
        checks.append(Table(("level", "check", "field", "what", "structures"), rows))
    sections = [Section("Structures", _contents(structures)), Section("Labels", [_labels(structures)])]
    sections.append(Section("Checks", checks))
    panels = histograms(structures)
    if panels:
        sections.append(Section("Distributions", [Picture(plot_histograms(panels))]))
    pairs = _consistency(structures)
    if pairs:
        text = (
            "Pairs of similar structures (same cell, smallest displacement): difference of the labels against the mean "
            "of their derivatives times the displacement. Points far from the line are wrong labels or large "
            "displacements."
        )
        sections.append(Section("Consistency", [text, Picture(plot_consistency(pairs))]))
    write_page(path, title, sections, force)


def _some(names):
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _contents(structures) -> list[str | Table]:
    atoms = [len(s) for s in structures]
    species = Counter(symbol for s in structures for symbol in s.symbols)
    volumes = [s.volume / len(s) for s in structures if s.pbc.all()]
    cells = Counter((tuple(s.pbc), np.round(s.cell, 4).tobytes()) for s in structures)
    in_field = [s for s in structures if s.electric_field is not None and s.electric_field.any()]
    rows = [
        ("structures", len(structures)),
        ("atoms", f"{sum(atoms)} ({min(atoms)} to {max(atoms)} per structure)" if atoms else "0"),
        ("species", ", ".join(f"{symbol} {count}" for symbol, count in sorted(species.items()))),
        ("different cells", len(cells)),
        ("periodic in three directions", sum(bool(s.pbc.all()) for s in structures)),
        ("in an electric field", len(in_field)),
    ]
    if volumes:
        rows.append(("volume per atom, Å³", f"{min(volumes):.4g} to {max(volumes):.4g}"))
    formulas = Counter(_formula(s.symbols) for s in structures).most_common()
    files = Counter(s.source.rpartition(", ")[0] or s.source for s in structures)
    parts: list[str | Table] = [Table((), rows)]
    for name, counts in (("formula", formulas), ("file", list(files.items()))):
        if len(counts) > SHOWN:
            rest = sum(count for _, count in counts[SHOWN:])
            counts = [*counts[:SHOWN], (f"{len(counts) - SHOWN} others", rest)]
        parts.append(Table((name, "structures"), counts))
    return parts


def _formula(symbols):
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in sorted(Counter(symbols).items()))


def _labels(structures) -> Table:
    rows = []
    for name in (*LABELS, "electric_field"):
        values = [np.ravel(v) for s in structures if (v := getattr(s, name)) is not None]
        if values:
            flat = np.concatenate(values)
            rms = float(np.sqrt(np.mean(flat**2)))
            rows.append((name.replace("_", " "), len(values), UNITS[name], float(flat.min()), float(flat.max()), rms))
    return Table(("label", "structures", "unit", "smallest", "largest", "rms"), rows, "Of all components.")


def histograms(structures: Sequence[LabelledStructure]) -> list[dict]:
    """Return the panels of :func:`tnep_calc.plotting.data.plot_histograms` for all labels of the structures.

    Energies are per atom, relative to fitted energies of the elements.  Forces are their lengths.  Stresses are split
    into diagonal and off-diagonal components, dipoles into x, y and z.  Polarizabilities of periodic structures are
    shown as susceptibilities, the others per atom in e·Å²/V; both are split into diagonal and off-diagonal components.
    Born charges are split by species and into diagonal and off-diagonal components.
    """
    panels = []

    def add(name, unit, log=False, **groups):
        groups = {label.strip("_"): np.ravel(np.array(values)) for label, values in groups.items() if len(values)}
        if groups:
            panels.append({"name": name, "unit": unit, "groups": groups, "log": log})

    energies = energies_per_atom(structures) if structures else np.empty(0)
    add("energy per atom, elements removed", "eV", _=energies[np.isfinite(energies)])
    add("|F|", "eV/Å", log=True, **_by_species(structures, "forces", lambda f: np.linalg.norm(f, axis=-1)))
    stress = [-s.virial / s.volume * EV_PER_A3_TO_GPA for s in structures if s.virial is not None and s.volume]
    add("stress", "GPa", **_parts(stress, ("i = j", "i ≠ j")))
    dipoles = np.array([s.dipole for s in structures if s.dipole is not None]).reshape(-1, 3)
    add("dipole", "e·Å", **{axis: dipoles[:, k] for k, axis in enumerate("xyz") if len(dipoles)})
    add("$Z^*_{ii}$", "e", **_by_species(structures, "born_charges", _diagonals))
    add("$Z^*_{ij}$, i ≠ j", "e", **_by_species(structures, "born_charges", _off_diagonals))
    labelled = [(s, s.polarizability) for s in structures if s.polarizability is not None]
    chi = [tensor / (EPSILON_0 * s.volume) for s, tensor in labelled if s.pbc.all()]
    add(r"$\chi_{ii}$", "", **_parts(chi, ("_", "off"), 0))
    add(r"$\chi_{ij}$, i ≠ j", "", **_parts(chi, ("_", "_"), 1))
    alpha = [tensor / len(s) for s, tensor in labelled if not s.pbc.all()]
    add(r"$\alpha$ per atom", "e·Å²/V", **_parts(alpha, ("i = j", "i ≠ j")))
    fields = [np.linalg.norm(s.electric_field) for s in structures if s.electric_field is not None]
    add("|E|", "V/Å", _=fields)
    return panels


def _diagonals(tensors):
    return np.diagonal(np.asarray(tensors), axis1=-2, axis2=-1)


def _off_diagonals(tensors):
    return np.asarray(tensors)[..., ~np.eye(3, dtype=bool)]


def _parts(tensors, names, only=None):
    """Return diagonal and off-diagonal components of a list of tensors under two names, or one of them."""
    if not tensors:
        return {}
    parts = (_diagonals(tensors), _off_diagonals(tensors))
    return {name: part for k, (name, part) in enumerate(zip(names, parts, strict=True)) if only in (None, k)}


def _by_species(structures, name, values):
    groups: dict[str, list] = {}
    for s in structures:
        label = getattr(s, name)
        if label is None:
            continue
        symbols = np.array(s.symbols)
        for symbol in set(s.symbols):
            groups.setdefault(symbol, []).append(np.ravel(values(label[symbols == symbol])))
    return {symbol: np.concatenate(groups[symbol]) for symbol in sorted(groups)}


def _consistency(structures) -> list[dict]:
    panels = []
    energies, dipoles = energy_pairs(structures), dipole_pairs(structures)
    if len(energies):
        panels.append(
            {
                "name": _title("energy", energies.change, energies.expected),
                "unit": "eV",
                "change": energies.change,
                "expected": energies.expected,
                "x": r"$-\bar F \cdot u$",
                "y": r"$\Delta E$",
            }
        )
    if len(dipoles):
        whole = quanta(dipoles.change - dipoles.expected, dipoles.cells)
        folded = dipoles.change - np.einsum("ni,nij->nj", whole, dipoles.cells)
        panels.append(
            {
                "name": _title("dipole, folded", folded, dipoles.expected),
                "unit": "e·Å",
                "change": folded,
                "expected": dipoles.expected,
                "x": r"$\bar Z^* \cdot u$",
                "y": r"$\Delta P$",
            }
        )
    return panels


def _title(name, change, expected):
    ratio, correlation = slope(change, expected)
    rest = float(np.sqrt(np.mean((change - expected) ** 2)))
    return f"{name}\nslope {ratio:.3f}, correlation {correlation:.4f}, rms residual {rest:.3g}"

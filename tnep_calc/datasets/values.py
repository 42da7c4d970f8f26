"""Checks of single structures: numbers, distances, units, sum rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from ..neighbors import VesinSearch
from ..structures import LABELS, MAX_DENSITY, LabelledStructure
from ..units import EPSILON_0, EV_PER_A3_TO_GPA, POLARIZABILITY_TO_A3, POLARIZABILITY_TO_BOHR3

OVERLAP, CLOSE = 0.1, 0.5
"""Distances, relative to the sum of covalent radii, below which atoms overlap (error) or are too close (warning)."""
SUM_RULE = 0.05
"""Largest accepted component of the sum of the Born charges, in e per atom."""
CONDENSED = 60.0
"""Largest volume per atom (Å³) of a periodic structure that counts as a condensed phase."""
MAX_DISTANCE_CHECKS = 2000
"""Largest number of structures whose distances are checked; more are thinned out evenly."""
_NEGATIVE = ("F", "O", "Cl", "N")  # by electronegativity: the first one present must have a negative Born charge


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Attributes
    ----------
    level : {"error", "warning", "note"}
    check : str
        Name of the check.
    field : str
        Field of the structures, e.g. ``"born_charges"``.
    sources : tuple of str
        The structures ("file, structure k"), the worst first. Empty if the finding is about the whole data set.
    message : str
    """

    level: str
    check: str
    field: str
    sources: tuple[str, ...]
    message: str

    def __str__(self):
        more = f" (and {len(self.sources) - 1} more)" if len(self.sources) > 1 else ""
        return f"{self.level}: {self.sources[0] if self.sources else 'all'}{more}: {self.field}: {self.message}"


def too_dense(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield an error for cells with impossibly many atoms per volume, in which a neighbour search would not end."""
    dense = {s.source: n for s in structures if s.pbc.all() and (n := len(s) / max(s.volume, 1e-30)) > MAX_DENSITY}
    if dense:
        bad = sorted(dense, key=lambda source: -dense[source])
        yield Finding("error", "density", "cell", tuple(bad), f"has {dense[bad[0]]:.3g} atoms per Å³: is it in Å?")


def field_of(s: LabelledStructure) -> np.ndarray:
    """Return the electric field of a structure, shape (3,), in V/Å; zero if it has none."""
    return s.electric_field if s.electric_field is not None else np.zeros(3)


def condensed(s: LabelledStructure) -> bool:
    """Return whether a structure is periodic and dense, so that its polarizability is that of a solid or liquid."""
    return bool(s.pbc.all()) and s.volume / len(s) < CONDENSED


def not_finite(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield an error for each label with numbers that are NaN or infinite."""
    for name in ("positions", "cell", "electric_field", *LABELS):
        bad = [s.source for s in structures if (v := getattr(s, name)) is not None and not np.isfinite(v).all()]
        if bad:
            yield Finding("error", "finite", name, tuple(bad), "is not finite")


def distances(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield findings for atoms that are too close to each other."""
    found = []
    chosen = np.unique(np.linspace(0, len(structures) - 1, min(len(structures), MAX_DISTANCE_CHECKS)).astype(int))
    for k in chosen:
        s = structures[k]
        closest = _closest(s)
        if closest is not None and closest[0] < CLOSE:
            ratio, i, j, length = closest
            pair = f"atoms {i} ({s.symbols[i]}) and {j} ({s.symbols[j]}) are {length:.2f} Å apart"
            found.append((ratio, s.source, pair))
    found.sort()
    for level, low, high in (("error", 0.0, OVERLAP), ("warning", OVERLAP, CLOSE)):
        some = [f for f in found if low <= f[0] < high]
        if some:
            text = f"{some[0][2]}: are cell and positions in Å, and of the same structure?"
            yield Finding(level, "distances", "positions", tuple(f[1] for f in some), text)


def _closest(s):
    """Return the closest pair of atoms: distance over the sum of covalent radii, both atoms, and distance (Å).

    None if there are no atoms within twice ``CLOSE`` times the largest covalent radius.
    """
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in s.symbols]]
    cutoff = 2 * CLOSE * radii.max()
    periodic = s.cell[s.pbc]
    heights = 1 / np.linalg.norm(np.linalg.pinv(periodic), axis=0) if len(periodic) else np.array([np.inf])
    if (
        len(s) <= 400 and heights.min() > 2 * cutoff
    ):  # rounding then finds the nearest image of all pairs within the cutoff
        centres, neighbors = np.triu_indices(len(s), 1)
        vectors = s.positions[neighbors] - s.positions[centres]
        if len(periodic):
            vectors = vectors - np.round(vectors @ np.linalg.pinv(periodic)) @ periodic
    else:
        search = VesinSearch()
        offsets, neighbors, shifts = search.find(s.positions, s.cell, s.pbc, cutoff)
        vectors = search.vectors(s.positions, s.cell, offsets, neighbors, shifts)
        centres = np.repeat(np.arange(len(s)), np.diff(offsets))
    if not len(vectors):
        return None
    lengths = np.linalg.norm(vectors, axis=1)
    ratios = lengths / (radii[centres] + radii[neighbors])
    worst = int(ratios.argmin())
    return float(ratios[worst]), int(centres[worst]), int(neighbors[worst]), float(lengths[worst])


def values_of(structures: Sequence[LabelledStructure], name: str, value: Callable) -> list[tuple[float, str]]:
    """Return ``(value(s), source)`` of all structures with the label `name` for which the value is not None."""
    pairs = [(value(s), s.source) for s in structures if getattr(s, name) is not None]
    return [(float(v), source) for v, source in pairs if v is not None]


def magnitudes(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield warnings for labels that are too large for the units of the package, or zero."""
    for name, value, limit, text in (
        ("energy", lambda s: abs(s.energy) / len(s), 1e6, "{:.3g} eV per atom in size (all electrons of U have 7.6e5)"),
        (
            "dipole",
            lambda s: np.abs(s.dipole).max() / len(s) if s.pbc.any() else None,
            1e3,
            "{:.3g} e·Å per atom of a crystal",
        ),
        ("forces", lambda s: np.abs(s.forces).max(), 200.0, "{:.3g} eV/Å"),
        (
            "virial",
            lambda s: np.abs(s.virial).max() / s.volume if s.volume else None,
            0.6,
            "{:.3g} eV/Å³ (1 eV/Å³ is " + f"{EV_PER_A3_TO_GPA:.0f} GPa); is the stress in eV/Å³, the virial in eV?",
        ),
        ("born_charges", lambda s: np.abs(s.born_charges).max(), 15.0, "{:.3g} e"),
        ("electric_field", lambda s: np.abs(s.electric_field).max(), 2.0, "{:.3g} V/Å (1 a.u. is 51.4 V/Å)"),
        (
            "dipole",
            lambda s: None if s.pbc.any() else np.abs(s.dipole).max() / len(s),
            2.0,
            "{:.3g} e·Å per atom of a molecule (1 e·Å is 4.80 debye)",
        ),
    ):
        found = sorted((v for v in values_of(structures, name, value) if v[0] > limit), reverse=True)
        if found:
            text = "up to " + text.format(found[0][0])
            yield Finding("warning", "units", name, tuple(f[1] for f in found), text)
    for name in ("forces", "dipole", "born_charges", "polarizability"):
        zeros = [s.source for s in structures if (v := getattr(s, name)) is not None and not v.any()]
        if zeros and (name in ("born_charges", "polarizability") or len(zeros) > max(1, len(structures) // 2)):
            yield Finding("warning", "units", name, tuple(zeros), "all components are zero: is it a placeholder?")


def charged_dipoles(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield a warning for dipoles of charged systems, which depend on the origin."""
    found = [s.source for s in structures if s.charge and s.dipole is not None]
    if found:
        text = (
            "the dipole of a charged system depends on the origin, which models cannot know: in all structures, "
            "subtract the charge times the centre of mass (or of charge) from it"
        )
        yield Finding("warning", "charge", "dipole", tuple(found), text)


def polarizabilities(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield warnings for polarizabilities that are not positive, or whose size suggests another unit."""
    negative, low, odd = [], [], []
    for s in structures:
        if s.polarizability is None or not s.polarizability.any():
            continue
        smallest, mean = np.linalg.eigvalsh(s.polarizability)[0], np.trace(s.polarizability) / 3
        if smallest <= 0:
            negative.append((smallest, s.source))
        elif condensed(s):
            chi = mean / (EPSILON_0 * s.volume)
            if not 0.3 < chi < 30:
                low.append((chi, s, mean))
        elif not 0.15 < (each := mean * POLARIZABILITY_TO_A3 / len(s)) < 20:
            odd.append((each, s, mean))
    if negative:
        text = f"has an eigenvalue of {min(negative)[0]:.3g}; a static polarizability is positive (eps_inf > 1)"
        yield Finding("warning", "units", "polarizability", tuple(n[1] for n in sorted(negative)), text)
    for cases, what in ((low, "eps_inf = {:.3g}"), (odd, "{:.3g} Å³ per atom")):
        if cases:
            value, s, mean = cases[0]
            text = what.format(1 + value if cases is low else value) + f" if in e·Å²/V per cell; {_guess(s, mean)}"
            yield Finding("warning", "units", "polarizability", tuple(c[1].source for c in cases), text)


def _guess(s, mean) -> str:
    """Return a question that names the units in which the mean polarizability would have a usual size."""
    n = len(s)
    units = {"bohr³ (atomic units)": 1 / POLARIZABILITY_TO_BOHR3, "Å³": 1 / POLARIZABILITY_TO_A3}
    if s.volume:
        volume = EPSILON_0 * s.volume
        units |= {"the susceptibility chi": volume, "N times chi": volume / n}
    fits = [name for name, factor in units.items() if 0.3 < mean * factor * POLARIZABILITY_TO_A3 / n < 8]
    return f"is it {' or '.join(fits)}?" if fits else "the unit is unclear"


def born_charges(structures: Sequence[LabelledStructure]) -> Iterator[Finding]:
    """Yield warnings for Born charges with a large sum over the atoms or a reversed sign."""
    labelled = [(s, s.born_charges) for s in structures if s.born_charges is not None]
    sums = sorted(((np.abs(z.sum(axis=0)).max() / len(s), s.source) for s, z in labelled), reverse=True)
    bad = [x for x in sums if x[0] > SUM_RULE]
    if bad:
        text = f"the sum over atoms is up to {bad[0][0]:.3g} e per atom (expected: 0, if neutral): converge k points"
        yield Finding("warning", "sum rule", "born_charges", tuple(b[1] for b in bad), text)
    wrong = []
    for s, charges in labelled:
        element = next((e for e in _NEGATIVE if e in s.symbols), None)
        if element and set(s.symbols) - {element}:
            here = [k for k, symbol in enumerate(s.symbols) if symbol == element]
            mean = float(np.trace(charges[here].mean(axis=0)) / 3)
            if mean > 0.3:
                wrong.append((mean, s.source, element))
    if wrong:
        text = f"the mean of {wrong[0][2]} is {wrong[0][0]:+.2f} e: is the sign reversed?"
        yield Finding("warning", "sign", "born_charges", tuple(w[1] for w in wrong), text)

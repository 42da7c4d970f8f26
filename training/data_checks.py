"""Checks of labelled structures before training: what is wrong, and where.

Nothing is changed.  An *error* makes training senseless (numbers that are not finite, overlapping atoms), a *warning*
is very likely a mistake (units, sum rules, outliers, two different labels of one structure), a *note* is worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from tnep_calc.errors import DataFileError
from tnep_calc.io.dataset import LABELS, LabelledStructure
from tnep_calc.neighbors import VesinSearch
from tnep_calc.units import EPSILON_0, EV_PER_A3_TO_GPA, POLARIZABILITY_TO_A3, POLARIZABILITY_TO_BOHR3

from .data_pairs import dipole_pairs, energy_pairs, quanta, slope

LEVELS = ("error", "warning", "note")
OVERLAP, CLOSE = 0.1, 0.5
"""Distances relative to the sum of covalent radii, below which atoms overlap (error) or are suspiciously close."""
OUTLIER = 10.0
"""Robust z-score of an outlier: distance from the median in units of 1.4826 times the median absolute deviation."""
SUM_RULE = 0.05
"""Largest sum of the Born charges in e, per atom."""
CONDENSED = 60.0
"""Largest volume per atom (Å³) of a periodic structure that is taken for a condensed phase, with eps_inf > 1."""
MAX_DISTANCE_CHECKS = 2000
"""Structures whose distances are looked at, evenly chosen."""
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
        The structures ("file, structure k"), the worst first.
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


def check_structures(structures: Sequence[LabelledStructure], units: bool = True) -> list[Finding]:
    """Return all findings, errors first.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    units : bool, default True
        Whether the labels are in the units of the package; if not, magnitudes are not judged.

    Returns
    -------
    list of Finding
    """
    if not structures:
        return []
    unsound = list(_not_finite(structures))  # would only make nonsense of everything else
    checks = [check for check in CHECKS if units or check not in (_magnitudes, _polarizabilities)]
    findings = unsound or [finding for check in checks for finding in check(structures)]
    return sorted(findings, key=lambda f: LEVELS.index(f.level))


def check_before_training(
    structures: Sequence[LabelledStructure], in_field: bool = False, units: bool = True
) -> str:
    """Return a line that sums the findings up, or raise if there is an error among them.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    in_field : bool, default False
        Whether the model knows electric fields; if not, labels in a field are an error.
    units : bool, default True
        As in :func:`check_structures`.

    Raises
    ------
    DataFileError
        With the first errors.
    """
    findings = check_structures(structures, units)
    if not in_field and (inside := [s.source for s in structures if _field(s).any()]):
        text = "labels in a field, which this kind of model does not know: leave these structures out"
        findings.insert(0, Finding("error", "field", "electric_field", tuple(inside), text))
    errors = [f for f in findings if f.level == "error"]
    if errors:
        more = f"; {len(errors) - 3} more errors, see tnep data --check" if len(errors) > 3 else ""
        raise DataFileError("; ".join(str(f).removeprefix("error: ") for f in errors[:3]) + more)
    return summary(len(structures), findings)


def summary(count: int, findings: Sequence[Finding]) -> str:
    """Return one line about the findings in `count` structures."""
    numbers = {level: sum(f.level == level for f in findings) for level in LEVELS}
    words = [f"{n} {level}{'s' * (n > 1)}" for level, n in numbers.items() if n]
    seen = ", ".join(dict.fromkeys(f"{f.check} ({f.field})" for f in findings if f.level != "note"))
    text = f"data: {count} structure{'s' * (count != 1)}, {' and '.join(words) or 'nothing wrong found'}"
    return text + (f": {seen}; 'tnep data --check' lists them" if seen else "")


# single structures ---------------------------------------------------------------------------------------------------


def _field(s):
    return s.electric_field if s.electric_field is not None else np.zeros(3)


def _condensed(s):
    return bool(s.pbc.all()) and s.volume / len(s) < CONDENSED


def _not_finite(structures) -> Iterator[Finding]:
    for name in ("positions", "cell", "electric_field", *LABELS):
        bad = [s.source for s in structures if (v := getattr(s, name)) is not None and not np.isfinite(v).all()]
        if bad:
            yield Finding("error", "finite", name, tuple(bad), "is not finite")


def _distances(structures) -> Iterator[Finding]:
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
    """Return the smallest distance over the sum of covalent radii, its atoms and the distance (Å); None if far."""
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in s.symbols]]
    cutoff = 2 * CLOSE * radii.max()
    periodic = s.cell[s.pbc]
    heights = 1 / np.linalg.norm(np.linalg.pinv(periodic), axis=0) if len(periodic) else np.array([np.inf])
    if len(s) <= 400 and heights.min() > 2 * cutoff:  # the image by rounding is the nearest of all that matter
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


def _duplicates(structures) -> Iterator[Finding]:
    first: dict[tuple, LabelledStructure] = {}
    same, different = [], []
    for s in structures:
        arrays = (s.positions, s.cell, _field(s) * 1000)
        key = (s.symbols, tuple(s.pbc), *(np.round(a + 0.0, 3).tobytes() for a in arrays))
        other = first.setdefault(key, s)
        if other is s:
            continue
        apart = None if None in (s.energy, other.energy) else abs(s.energy - other.energy) / len(s)
        (different if apart is not None and apart > 1e-2 else same).append((apart or 0.0, s.source, other.source))
    if different:
        worst = max(different)
        text = f"same geometry as {worst[2]}, but the energy differs by {1000 * worst[0]:.3g} meV/atom"
        yield Finding("warning", "duplicates", "energy", tuple(d[1] for d in sorted(different, reverse=True)), text)
    if same:
        text = f"same geometry as {same[0][2]} (within 0.001 Å)"
        yield Finding("warning", "duplicates", "positions", tuple(d[1] for d in same), text)


def _missing(structures) -> Iterator[Finding]:
    plain = [s for s in structures if not _field(s).any()]
    for name in LABELS:
        without = [s.source for s in plain if getattr(s, name) is None]
        if 0 < len(without) < len(plain):
            text = f"missing here, present in {len(plain) - len(without)}"
            yield Finding("warning", "missing", name, tuple(without), text)


def _values(structures, name: str, value: Callable):
    """Return the pairs of `value` and source of all structures with a label (and a usable value)."""
    pairs = [(value(s), s.source) for s in structures if getattr(s, name) is not None]
    return [(float(v), source) for v, source in pairs if v is not None]


def _magnitudes(structures) -> Iterator[Finding]:
    """Values that are too large or too small to be in the units of the package."""
    for name, value, limit, text in (
        ("forces", lambda s: np.abs(s.forces).max(), 200.0, "{:.3g} eV/Å"),
        ("virial", lambda s: np.abs(s.virial).max() / s.volume if s.volume else None, 0.6,
         "{:.3g} eV/Å³ (1 eV/Å³ is " + f"{EV_PER_A3_TO_GPA:.0f} GPa); is the stress in eV/Å³, the virial in eV?"),
        ("born_charges", lambda s: np.abs(s.born_charges).max(), 15.0, "{:.3g} e"),
        ("electric_field", lambda s: np.abs(s.electric_field).max(), 2.0, "{:.3g} V/Å (1 a.u. is 51.4 V/Å)"),
        ("dipole", lambda s: None if s.pbc.any() else np.abs(s.dipole).max() / len(s), 2.0,
         "{:.3g} e·Å per atom of a molecule (1 e·Å is 4.80 debye)"),
    ):  # fmt: skip
        found = sorted((v for v in _values(structures, name, value) if v[0] > limit), reverse=True)
        if found:
            text = "as large as " + text.format(found[0][0])
            yield Finding("warning", "units", name, tuple(f[1] for f in found), text)
    for name in ("forces", "dipole", "born_charges", "polarizability"):
        zeros = [s.source for s in structures if (v := getattr(s, name)) is not None and not v.any()]
        if zeros and (name in ("born_charges", "polarizability") or len(zeros) > max(1, len(structures) // 2)):
            yield Finding("warning", "units", name, tuple(zeros), "all components are zero: a place holder?")


def _polarizabilities(structures) -> Iterator[Finding]:
    negative, low, odd = [], [], []
    for s in structures:
        if s.polarizability is None or not s.polarizability.any():
            continue
        smallest, mean = np.linalg.eigvalsh(s.polarizability)[0], np.trace(s.polarizability) / 3
        if smallest <= 0:
            negative.append((smallest, s.source))
        elif _condensed(s):
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
    """Return in which other unit the polarizability would look right."""
    n = len(s)
    units = {"bohr³ (atomic units)": 1 / POLARIZABILITY_TO_BOHR3, "Å³": 1 / POLARIZABILITY_TO_A3}
    if s.volume:
        volume = EPSILON_0 * s.volume
        units |= {"the susceptibility chi": volume, "N times chi": volume / n}
    fits = [name for name, factor in units.items() if 0.3 < mean * factor * POLARIZABILITY_TO_A3 / n < 8]
    return f"is it {' or '.join(fits)}?" if fits else "the unit is unclear"


def _born_charges(structures) -> Iterator[Finding]:
    labelled = [s for s in structures if s.born_charges is not None]
    sums = sorted(((np.abs(s.born_charges.sum(axis=0)).max() / len(s), s.source) for s in labelled), reverse=True)
    bad = [x for x in sums if x[0] > SUM_RULE]
    if bad:
        text = f"sum over the atoms as large as {bad[0][0]:.3g} e per atom (0 for a neutral cell): converge k points"
        yield Finding("warning", "sum rule", "born_charges", tuple(b[1] for b in bad), text)
    wrong = []
    for s in labelled:
        element = next((e for e in _NEGATIVE if e in s.symbols), None)
        if element and set(s.symbols) - {element}:
            here = [k for k, symbol in enumerate(s.symbols) if symbol == element]
            mean = float(np.trace(s.born_charges[here].mean(axis=0)) / 3)
            if mean > 0.3:
                wrong.append((mean, s.source, element))
    if wrong:
        text = f"mean of {wrong[0][2]} is {wrong[0][0]:+.2f} e: is the sign reversed?"
        yield Finding("warning", "sign", "born_charges", tuple(w[1] for w in wrong), text)


# the set as a whole --------------------------------------------------------------------------------------------------


def energies_per_atom(structures: Sequence[LabelledStructure]) -> np.ndarray:
    """Return energies per atom (eV) without the best energies of the elements; NaN where there is no energy."""
    species = sorted({symbol for s in structures for symbol in s.symbols})
    counts = np.array([[s.symbols.count(e) for e in species] for s in structures], dtype=float)
    n = counts.sum(axis=1)
    energies = np.array([np.nan if s.energy is None else s.energy for s in structures]) / n
    have = np.isfinite(energies)
    if have.any():
        solution = np.linalg.lstsq(counts[have] / n[have, None], energies[have], rcond=None)[0]
        energies = energies - counts / n[:, None] @ solution
    return energies


def _outliers(structures) -> Iterator[Finding]:
    """Outliers among the structures of the same elements (other elements have other values)."""
    per_atom = {s.source: float(e) for s, e in zip(structures, energies_per_atom(structures), strict=True)}
    kinds: dict[frozenset, list[LabelledStructure]] = {}
    for s in structures:
        kinds.setdefault(frozenset(s.symbols), []).append(s)
    for members in kinds.values():
        yield from _outliers_of_kind(members, per_atom)


def _outliers_of_kind(structures, per_atom) -> Iterator[Finding]:
    for name, what, unit, value in (
        ("energy", "energy per atom", "eV", lambda s: per_atom[s.source]),
        ("forces", "log10 of the largest force", "", lambda s: np.log10(max(np.abs(s.forces).max(), 1e-3))),
        ("virial", "trace of the stress", "eV/Å³", lambda s: np.trace(s.virial) / s.volume if s.volume else None),
        ("polarizability", "trace per atom", "e·Å²/V", lambda s: np.trace(s.polarizability) / len(s)),
        ("cell", "volume per atom", "Å³", lambda s: s.volume / len(s) if _condensed(s) else None),
    ):
        yield from _far_off(name, what, unit, _values(structures, name, value))
    species = sorted({symbol for s in structures if s.born_charges is not None for symbol in s.symbols})
    for element in species:
        traces = []
        for s in structures:
            here = [k for k, symbol in enumerate(s.symbols) if symbol == element]
            if s.born_charges is not None and here:
                mean = np.trace(s.born_charges[here], axis1=1, axis2=2) / 3
                traces += [(float(z), f"{s.source}, atom {k}") for z, k in zip(mean, here, strict=True)]
        yield from _far_off("born_charges", f"third of the trace, {element}", "e", traces)


def _far_off(name, what, unit, pairs) -> Iterator[Finding]:
    values = np.array([p[0] for p in pairs])
    if len(values) < 20:
        return
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    if spread <= 1e-9 * max(abs(median), 1e-3):
        return
    score = np.abs(values - median) / spread
    far = [int(k) for k in np.argsort(-score) if score[k] > OUTLIER]
    if far:
        text = f"{what} is {values[far[0]]:.4g} {unit}".rstrip() + (
            f", {score[far[0]]:.0f} spreads from the median {median:.4g} (one spread: {spread:.2g})"
        )
        yield Finding("warning", "outliers", name, tuple(pairs[k][1] for k in far), text)


def _energies_against_forces(structures) -> Iterator[Finding]:
    pairs = energy_pairs(structures)
    if len(pairs) < 5:
        return
    ratio, correlation = slope(pairs.change, pairs.expected)
    sources = tuple(structures[k].source for k in pairs.indices[0])
    if abs(correlation) < 0.5:
        text = f"differences of similar frames do not follow from the forces (correlation {correlation:.2f})"
        yield Finding("warning", "derivatives", "energy", sources, text)
    elif not 0.75 < ratio < 1.33:
        text = (
            f"differences of similar frames are {ratio:.3g} times what the forces give "
            "(1 Ha/bohr is 51.4 eV/Å, 1 Ry is 13.6 eV): is one of them in another unit or of another sign?"
        )
        yield Finding("warning", "derivatives", "energy", sources, text)


def _dipoles_against_born_charges(structures) -> Iterator[Finding]:
    pairs = dipole_pairs(structures)
    if not len(pairs):
        return
    whole = quanta(pairs.change - pairs.expected, pairs.cells)
    folded = pairs.change - np.einsum("ni,nij->nj", whole, pairs.cells)
    jumps = np.flatnonzero(whole.any(axis=1))
    if len(jumps):
        text = f"jumps by quanta (e times a lattice vector) in {len(jumps)} of {len(pairs)} pairs of similar frames: "
        text += "compare it modulo the quantum, as fold_dipole does"
        sources = tuple(dict.fromkeys(structures[pairs.indices[k][1]].source for k in jumps))
        yield Finding("note", "quantum", "dipole", sources, text)
    rest, turned = (np.sqrt(np.mean((folded - e) ** 2)) for e in (pairs.expected, pairs.transposed))
    size = float(np.sqrt(np.mean(pairs.expected**2)))
    worst = np.argsort(-np.abs(folded - pairs.expected).max(axis=1))
    sources = tuple(dict.fromkeys(structures[pairs.indices[k][1]].source for k in worst))
    ratio, correlation = slope(folded, pairs.expected)
    if len(pairs) < 5:
        return
    if turned < 0.5 * rest:
        text = (
            f"fit the dipoles better when transposed ({turned:.3g} against {rest:.3g} e·Å): "
            "the order must be [atom, dipole component, displacement component]"
        )
        yield Finding("warning", "index order", "born_charges", sources, text)
    elif rest > 0.3 * size and (abs(correlation) < 0.7 or not 0.8 < ratio < 1.25):
        text = (
            f"differences of similar frames do not follow from the Born charges: {ratio:.3g} times the expected ones, "
            f"correlation {correlation:.2f}, left {rest:.3g} of {size:.3g} e·Å"
        )
        yield Finding("warning", "derivatives", "dipole", sources, text)


CHECKS: tuple[Callable[[Sequence[LabelledStructure]], Iterator[Finding]], ...] = (
    _distances, _duplicates, _missing, _magnitudes, _polarizabilities, _born_charges, _outliers,
    _energies_against_forces, _dipoles_against_born_charges,
)  # fmt: skip
"""All checks of finite structures, each from the structures to its findings."""

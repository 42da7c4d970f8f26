"""Checks of labelled structures before training: what is wrong, and where.

The structures are not changed.  An *error* makes training pointless (numbers that are not finite, overlapping atoms).
A *warning* is very likely a mistake (units, sum rules, outliers, two different labels of one structure).  A *note* is
worth knowing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..errors import DataFileError
from ..structures import LABELS, LabelledStructure
from .pairs import dipole_pairs, energy_pairs, quanta, same_geometry_in_field, slope
from .species import missing_species, rare_species
from .values import (
    Finding,
    born_charges,
    charged_dipoles,
    condensed,
    distances,
    field_of,
    magnitudes,
    not_finite,
    polarizabilities,
    too_dense,
    values_of,
)

log = logging.getLogger(__name__)

LEVELS = ("error", "warning", "note")
OUTLIER = 10.0
"""Robust z-score of an outlier: distance from the median in units of 1.4826 times the median absolute deviation."""


def check_structures(structures: Sequence[LabelledStructure], units: bool = True) -> list[Finding]:
    """Return all findings, errors first.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    units : bool, default True
        Whether the labels are in the units of the package. If not, their magnitudes are not checked.

    Returns
    -------
    list of Finding
        If numbers are not finite or atoms are too dense, only these findings: other checks would be meaningless.
    """
    if not structures:
        return []
    unsound = list(not_finite(structures)) or list(too_dense(structures))
    checks = [check for check in CHECKS if units or check not in (magnitudes, polarizabilities)]
    findings = unsound or [finding for check in checks for finding in check(structures)]
    return sorted(findings, key=lambda f: LEVELS.index(f.level))


def check_before_training(
    structures: Sequence[LabelledStructure],
    in_field: bool = False,
    units: bool = True,
    train: Sequence[int] | np.ndarray | None = None,
    species: Sequence[str] = (),
) -> str:
    """Return one line that summarizes the findings, or raise if any of them is an error.

    Rare species, and species of the model that no structure has, are also logged as warnings.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    in_field : bool, default False
        Whether the model takes an electric field. If not, labels in a field are an error.
    units : bool, default True
        As in :func:`check_structures`.
    train : sequence of int, optional
        Indices of the structures to train on, in which rare species are counted; None = all.
    species : sequence of str, default ()
        Species of the model. A species that none of these structures has is a warning.

    Raises
    ------
    DataFileError
        If there are errors; the message lists the first three.
    """
    findings = check_structures(structures, units)
    if not in_field and (inside := [s.source for s in structures if field_of(s).any()]):
        text = "labels in a field, which this kind of model does not take: leave these structures out"
        findings.insert(0, Finding("error", "field", "electric_field", tuple(inside), text))
    _raise_errors(findings)
    chosen = structures if train is None else [structures[k] for k in train]
    of_species = [*rare_species(chosen, "" if train is None else " to train on"), *missing_species(chosen, species)]
    for finding in of_species:
        log.warning("%s", finding)
    return summary(len(structures), [f for f in findings if f.check != "rare species"] + of_species)


def check_before_testing(
    structures: Sequence[LabelledStructure], train: Sequence[LabelledStructure], units: bool = True
) -> str:
    """Return one line that summarizes the findings in test structures, or raise if any of them is an error.

    Test structures that are also trained on are logged as a warning.  Rare species are not reported.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Test structures.
    train : sequence of LabelledStructure
        Structures that are trained on.
    units : bool, default True
        As in :func:`check_structures`.

    Raises
    ------
    DataFileError
        If there are errors; the message lists the first three.
    """
    findings = [f for f in check_structures(structures, units) if f.check != "rare species"]
    _raise_errors(findings)
    known = {_geometry(s): s.source for s in train}
    both = [(s.source, known[key]) for s in structures if (key := _geometry(s)) in known]
    if both:
        log.warning(
            "%d of %d test structures are also trained on, so that their errors are no test (%s is the same as %s)",
            len(both),
            len(structures),
            *both[0],
        )
    return f"test {summary(len(structures), findings)}"


def _raise_errors(findings):
    errors = [f for f in findings if f.level == "error"]
    if errors:
        more = f"; {len(errors) - 3} more errors, see tnep data --check" if len(errors) > 3 else ""
        raise DataFileError("; ".join(str(f).removeprefix("error: ") for f in errors[:3]) + more)


def summary(count: int, findings: Sequence[Finding]) -> str:
    """Return one line about the findings in `count` structures: how many, and which checks found them.

    Examples
    --------
    >>> summary(2, [Finding("note", "quantum", "dipole", ("a.xyz, structure 0",), "larger than half a quantum")])
    "data: 2 structures, 1 note: quantum (dipole); 'tnep data --check' lists them"
    """
    numbers = {level: sum(f.level == level for f in findings) for level in LEVELS}
    words = [f"{n} {level}{'s' * (n > 1)}" for level, n in numbers.items() if n]
    seen = ", ".join(dict.fromkeys(f"{f.check} ({f.field})" for f in findings))
    text = f"data: {count} structure{'s' * (count != 1)}, {' and '.join(words) or 'nothing wrong found'}"
    return text + (f": {seen}; 'tnep data --check' lists them" if seen else "")


def _geometry(s) -> tuple:
    """Return a key that is equal for structures of the same geometry (to 0.001 Å) and field."""
    arrays = (s.positions, s.cell, field_of(s) * 1000)
    return (s.symbols, tuple(s.pbc), *(np.round(a + 0.0, 3).tobytes() for a in arrays))


def _duplicates(structures) -> Iterator[Finding]:
    first: dict[tuple, LabelledStructure] = {}
    same: list[tuple[float, str, str]] = []
    different: list[tuple[float, str, str]] = []
    for s in structures:
        other = first.setdefault(_geometry(s), s)
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
    plain = [s for s in structures if not field_of(s).any()]
    for name in LABELS:
        without = [s.source for s in plain if getattr(s, name) is None]
        if 0 < len(without) < len(plain):
            text = f"missing here, present in {len(plain) - len(without)}"
            yield Finding("warning", "missing", name, tuple(without), text)


def energies_per_atom(structures: Sequence[LabelledStructure]) -> np.ndarray:
    """Return energies per atom relative to a least-squares fit of one energy per element.

    Returns
    -------
    ndarray, shape (n_structures,), in eV
        NaN for a structure without energy.
    """
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
    """Outliers, compared only with structures of the same elements because values depend on the elements."""
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
        ("cell", "volume per atom", "Å³", lambda s: s.volume / len(s) if condensed(s) else None),
    ):
        yield from _far_off(name, what, unit, values_of(structures, name, value))
    species = sorted({symbol for s in structures if s.born_charges is not None for symbol in s.symbols})
    for element in species:
        traces = []
        for s in structures:
            here = [k for k, symbol in enumerate(s.symbols) if symbol == element]
            if s.born_charges is not None and here:
                mean = np.trace(s.born_charges[here], axis1=1, axis2=2) / 3
                traces += [(float(z), f"{s.source}, atom {k}") for z, k in zip(mean, here, strict=True)]
        yield from _far_off(
            "born_charges", f"third of the trace, {element}", "e", traces, 0.1
        )  # sites of one element differ


def _far_off(name, what, unit, pairs, least: float = 0.0) -> Iterator[Finding]:
    """Outliers among (value, source) pairs; `least` is the smallest spread assumed."""
    values = np.array([p[0] for p in pairs])
    if len(values) < 20:
        return
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    spread = max(spread, least)
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
            f"differences of similar frames are {ratio:.3g} times those expected from the forces "
            "(1 Ha/bohr is 51.4 eV/Å, 1 Ry is 13.6 eV): does one of them have another unit or sign?"
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
            f"correlation {correlation:.2f}, rms residual {rest:.3g} of {size:.3g} e·Å"
        )
        yield Finding("warning", "derivatives", "dipole", sources, text)


def _labels_in_field(structures) -> Iterator[Finding]:
    """Energy, dipole and forces in a field, compared with those expected from the same geometry at zero field.

    The enthalpy U = E - F.P is expected to change to second order in the field F, dipole and forces to first order.
    """
    wrong: dict[str, list] = {}
    for a, b in same_geometry_in_field(structures):
        base, inside, field = structures[a], structures[b], field_of(structures[b])
        if base.dipole is None or inside.dipole is None:
            continue
        change = inside.dipole - base.dipole
        change = change - quanta(change[None], base.cell[None])[0] @ base.cell
        tests = {}
        if base.energy is not None and inside.energy is not None:
            work = float(field @ change) / 2
            tests["energy"] = (inside.energy + float(field @ inside.dipole) - base.energy, work, 2e-5)
        if base.polarizability is not None:
            tests["dipole"] = (change, base.polarizability @ field, 1e-3)
        if base.forces is not None and inside.forces is not None and base.born_charges is not None:
            tests["forces"] = (inside.forces - base.forces, np.einsum("i,aij->aj", field, base.born_charges), 1e-3)
        for name, (found, expected, least) in tests.items():
            off = float(np.abs(found - expected).max())
            if off > max(0.5 * float(np.abs(expected).max()), least):
                wrong.setdefault(name, []).append((off, inside.source))
    what = {
        "energy": "U(E) - U(0) is {:.3g} eV off E.dP/2: is this the enthalpy U - E.P, on the branch of the dipole?",
        "dipole": "the change with the field is {:.3g} e·Å off the polarizability times the field",
        "forces": "the change with the field is {:.3g} eV/Å off the field times the Born charges",
    }
    for name, cases in wrong.items():
        cases.sort(reverse=True)
        yield Finding("warning", "field", name, tuple(c[1] for c in cases), what[name].format(cases[0][0]))


CHECKS: tuple[Callable[[Sequence[LabelledStructure]], Iterator[Finding]], ...] = (
    distances,
    rare_species,
    _duplicates,
    _missing,
    magnitudes,
    polarizabilities,
    born_charges,
    charged_dipoles,
    _outliers,
    _energies_against_forces,
    _dipoles_against_born_charges,
    _labels_in_field,
)
"""All checks that need finite numbers; each takes the structures and yields its findings."""

"""Tables, ``phonons.json`` and spectra of a calculation as files that other programs read."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..io.files import atomic_output
from ..io.series.spectrum_text import write_spectrum
from ..units import THZ_TO_INV_CM
from .analysis import Analysis, Conditions
from .infrared import UNITS, intensities
from .loto import AngleScan
from .modes import GammaModes
from .raman import Invariants, activity, cross_section, depolarization, invariants
from .workflow import Phonons


class Sheet(NamedTuple):
    """A table: name of its file, title, names of columns with units, rows of text and numbers."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def text(self) -> str:
        """Return the table for a terminal."""
        cells = [[short(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        lines = [self.title] if self.title else []
        for row in (self.columns, *cells):
            lines.append("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        return "\n".join(lines)


def _clean(values: np.ndarray) -> np.ndarray:
    """Values with rounding errors of zero as zero."""
    return np.where(np.abs(values) < 1e-10 * np.nanmax(np.abs(values), initial=1e-300), 0.0, values)


def short(value) -> str:
    """Return a value as text: four digits, two decimals for what may be a wavenumber, ``-`` for what is missing."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if 10 <= abs(value) < 1e5 else f"{value + 0.0:.4g}"
    return str(value)


def mode_sheet(modes: GammaModes, charges=None, strengths=None, tensors=None, conditions=None) -> Sheet:
    """Return the table of modes; a row is a degenerate set, with sums over it.

    Parameters
    ----------
    modes : GammaModes
        Of a crystal or a molecule.
    charges : array, shape (n_modes, 3), in e/sqrt(amu), optional
        As of `infrared.mode_charges`.
    strengths : array, shape (n_modes, 3, 3), optional
        As of `infrared.oscillator_strengths`.
    tensors : array, shape (n_modes, 3, 3), in Å²/sqrt(amu), optional
        As of `raman.raman_tensors`.
    conditions : Conditions, optional
        Temperature and laser of the cross-section.
    """
    c = Conditions() if conditions is None else conditions
    columns = ["cm^-1", "THz", "irrep", "degeneracy", "active"]
    parts: list[np.ndarray] = []
    if charges is not None:
        columns += [f"IR {unit}" for unit in UNITS]
        parts += [_clean(modes.of_sets(intensities(charges, unit))) for unit in UNITS]
    if strengths is not None:
        columns += ["trace of delta eps"]
        parts += [_clean(modes.of_sets(np.trace(strengths, axis1=1, axis2=2)))]
    if tensors is not None:
        mean, anisotropy = (modes.of_sets(x) for x in invariants(tensors))
        inv = Invariants(_clean(mean), _clean(anisotropy))
        first = np.array([modes.wavenumbers[group[0]] for group in modes.sets])
        section = np.full(len(first), np.nan)
        positive = first > 1.0
        section[positive] = cross_section(first[positive], activity(inv)[positive], c.temperature, c.laser)
        columns += ["Raman A^4/amu", "depol.", "depol. natural", "dsigma/dOmega cm^2/sr"]
        parts += [activity(inv), depolarization(inv), depolarization(inv, natural=True), section]
    rows = []
    for k in modes.optical_sets:
        group = modes.sets[k]
        wavenumber = float(modes.wavenumbers[list(group)].mean())
        active = " ".join(
            name for name, flag in (("IR", modes.infrared_active[k]), ("Raman", modes.raman_active[k])) if flag
        )
        known = modes.infrared_active[k] is not None
        rows.append(
            [
                wavenumber,
                wavenumber / THZ_TO_INV_CM,
                modes.labels[k] or "?",
                len(group),
                active or ("silent" if known else "?"),
                *(float(values[k]) for values in parts),
            ]
        )
    return Sheet("modes", "modes at Gamma (TO)", columns, rows)


def loto_sheet(modes: GammaModes, splittings, everything: bool = False) -> Sheet:
    """Return the table of LO-TO splitting: per direction the modes whose dipole has a part along q, or all modes."""
    names = {m: modes.labels[k] or "?" for k, group in enumerate(modes.sets) for m in group}
    rows = []
    for q, _, branches, _ in splittings:
        for b in branches:
            shift = b.wavenumber - modes.wavenumbers[b.origin]
            if everything or b.longitudinal > 0.005:
                rows.append(
                    [
                        direction_name(q),
                        b.wavenumber,
                        b.longitudinal,
                        names[b.origin],
                        float(modes.wavenumbers[b.origin]),
                        float(shift),
                        b.overlap,
                    ]
                )
    columns = ["q", "cm^-1", "longitudinal", "from", "TO cm^-1", "shift cm^-1", "overlap"]
    return Sheet("loto", "LO-TO splitting (modes with a dipole along q)", columns, rows)


def scan_sheet(scan: AngleScan) -> Sheet:
    """Return the frequencies of a scan of the angle of q."""
    columns = ["angle_degrees", "qx", "qy", "qz", *(f"mode_{k + 1}_cm-1" for k in range(scan.wavenumbers.shape[1]))]
    rows = np.column_stack([scan.angles, scan.directions, scan.wavenumbers]).tolist()
    return Sheet("loto_angle", "modes against the angle of q", columns, rows)


def lst_sheet(splittings) -> Sheet:
    """Return the table of the Lyddane-Sachs-Teller check."""
    rows = [[direction_name(q), lst.frequencies, lst.dielectric, lst.deviation] for q, _, _, lst in splittings]
    return Sheet(
        "lst", "Lyddane-Sachs-Teller", ["q", "prod w(q)^2/w_TO^2", "eps_0/eps_inf", "relative deviation"], rows
    )


def direction_name(q) -> str:
    """Return a direction as text: ``[1 0 0]``, or its components."""
    scaled = np.asarray(q, dtype=float) / np.abs(q).max()
    for factor in (1, 2, 3):
        if np.abs(scaled * factor - np.rint(scaled * factor)).max() < 1e-6:
            return "[" + " ".join(f"{int(round(x))}" for x in scaled * factor) + "]"
    return "[" + " ".join(f"{x:.4f}" for x in q) + "]"


def porto_sheet(oriented) -> Sheet:
    """Return the intensities of oriented scattering geometries, of modes that scatter."""
    rows = []
    for name, (_, modes, squared) in oriented.items():
        for k in modes.optical_sets:
            if squared[k] > 1e-6 * max(squared.max(), 1e-12):
                rows.append([name, float(modes.wavenumbers[list(modes.sets[k])].mean()), float(squared[k])])
    return Sheet("porto", "oriented crystal", ["geometry", "cm^-1", "|e_s.A.e_i|^2 A^4/amu"], rows)


def sheets(result: Phonons, analysis: Analysis, conditions: Conditions) -> list[Sheet]:
    """Return the tables of a crystal."""
    found = [mode_sheet(result.modes, analysis.charges, analysis.strengths, analysis.tensors, conditions)]
    if analysis.splittings:
        found += [loto_sheet(result.modes, analysis.splittings), lst_sheet(analysis.splittings)]
    if analysis.oriented:
        found.append(porto_sheet(analysis.oriented))
    return found


def shown(found: list[Sheet]) -> list[Sheet]:
    """Return the tables for a terminal or a page: that of the modes in two parts, without its lesser columns."""
    modes = found[0]
    parts = []
    for title, wanted in (
        ("modes at Gamma (TO), infrared", ("cm^-1", "THz", "irrep", "degeneracy", "active", "IR", "trace")),
        ("modes at Gamma (TO), Raman", ("cm^-1", "irrep", "degeneracy", "Raman", "depol", "dsigma")),
    ):
        keep = [k for k, name in enumerate(modes.columns) if name.startswith(wanted)]
        if title.endswith("infrared") or any(modes.columns[k].startswith("Raman") for k in keep):
            rows = [[row[k] for k in keep] for row in modes.rows]
            parts.append(Sheet(modes.name, title, [modes.columns[k] for k in keep], rows))
    return [*parts, *found[1:]]


def facts(result: Phonons, analysis: Analysis) -> list[tuple[str, str]]:
    """Return pairs of name and value: crystal, dielectric tensors, charges."""
    p = result.provenance
    lines = [
        ("space group", str(p.get("space_group", "?"))),
        ("primitive cell", f"{len(result.phonon.primitive)} atoms, {result.modes.volume:.4f} A^3"),
        (
            "supercell",
            f"{' x '.join(map(str, p.get('supercell', [])))} conventional cells, "
            f"{len(result.phonon.supercell)} atoms, {p.get('supercells', '?')} displaced",
        ),
    ]
    if result.charges is not None:
        c = result.charges
        lines.append(("eps_inf", tensor_text(c.dielectric)))
        if analysis.static is not None:
            lines.append(("static eps (fixed cell)", tensor_text(analysis.static)))
        lines.append(
            (
                "sum of Born charges",
                f"{np.abs(c.sum_before).max():.2e} e before, {np.abs(c.sum_after).max():.0e} e "
                f"after correction ({c.correction})",
            )
        )
        lines.append(("non-analytic term", {"gonze": "Gonze-Lee", "wang": "Wang"}[c.method]))
    return lines


def tensor_text(tensor) -> str:
    """Return a symmetric tensor as ``xx yy zz`` with the other components if they are there."""
    t = np.asarray(tensor)
    text = "xx {:.4f}, yy {:.4f}, zz {:.4f}".format(*t.diagonal())
    rest = [(n, t[i, j]) for n, i, j in (("yz", 1, 2), ("xz", 0, 2), ("xy", 0, 1)) if abs(t[i, j]) > 1e-4]
    return text + "".join(f", {name} {value:.4f}" for name, value in rest)


def numbers(result: Phonons, analysis: Analysis, conditions: Conditions, exports: dict[str, str]) -> dict:
    """Return everything as nested dictionaries for JSON; every key with a unit has it in its name."""
    modes, cell = result.modes, result.phonon.primitive
    data: dict[str, Any] = {
        "program": f"tnep_calc {__version__}",
        "provenance": result.provenance,
        "notes": [*result.notes, *analysis.notes],
        "conventions": {
            "frequencies": "imaginary ones are negative",
            "eigenvectors": "[mode][atom][xyz], real, mass-weighted",
            "born_charges": "[atom][dipole component][displacement component]",
            "raman_tensors": "(V/4 pi) d eps/dQ in A^2/sqrt(amu), [mode][i][j]",
            "directions": "Cartesian",
        },
        "primitive_cell": {
            "lattice_A": cell.cell,
            "symbols": list(cell.symbols),
            "scaled_positions": cell.scaled_positions,
            "masses_amu": cell.masses,
            "volume_A3": modes.volume,
        },
        "modes": {
            "wavenumbers_cm-1": modes.wavenumbers,
            "eigenvectors": modes.eigenvectors,
            "degenerate_sets": modes.sets,
            "irreps": modes.labels,
            "infrared_active": modes.infrared_active,
            "raman_active": modes.raman_active,
            "acoustic": modes.external,
            "point_group": modes.point_group,
        },
        "conditions": {
            "temperature_K": conditions.temperature,
            "laser_nm": conditions.laser,
            "fwhm_cm-1": conditions.widths,
        },
        "exports": exports,
    }
    if result.charges is not None:
        c = result.charges
        data["response"] = {
            "born_charges_e": c.used,
            "born_charges_raw_e": c.raw,
            "charge_sum_before_e": c.sum_before,
            "charge_sum_after_e": c.sum_after,
            "correction": c.correction,
            "nac_method": c.method,
            "eps_inf": c.dielectric,
            "eps_static": analysis.static,
        }
        data["infrared"] = {
            "mode_charges_e_per_sqrt_amu": analysis.charges,
            **{f"intensity_{unit}": intensities(analysis.charges, unit) for unit in UNITS},
            "delta_eps": analysis.strengths,
        }
    data["lo_to"] = [
        {
            "q": q,
            "wavenumbers_cm-1": [b.wavenumber for b in branches],
            "longitudinal": [b.longitudinal for b in branches],
            "to_mode": [b.origin for b in branches],
            "overlap": [b.overlap for b in branches],
            "lyddane_sachs_teller": lst._asdict(),
        }
        for q, _, branches, lst in analysis.splittings
    ]
    if analysis.tensors is not None:
        inv = invariants(analysis.tensors)
        data["raman"] = {
            "tensors_A2_per_sqrt_amu": analysis.tensors,
            "activity_A4_per_amu": activity(inv),
            "depolarization": depolarization(inv),
            "hyperpolarizability_eA3_per_V2": result.hyperpolarizability,
            "oriented": {
                name: {"wavenumbers_cm-1": at.wavenumbers, "degenerate_sets": at.sets, "intensity_A4_per_amu": squared}
                for name, (_, at, squared) in analysis.oriented.items()
            },
        }
    return data


def plain(value):
    """Return nested data with arrays as lists and NaN as None, for strict JSON."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_numbers(path, data: dict) -> None:
    """Write nested data as JSON."""
    with atomic_output(path, force=True) as temporary:
        temporary.write_text(json.dumps(plain(data), indent=1, allow_nan=False) + "\n")


def write_sheet(path, sheet: Sheet) -> None:
    """Write a table as CSV, with all digits."""
    with atomic_output(path, force=True) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(sheet.columns)
        writer.writerows(sheet.rows)


def write_tables(result: Phonons, analysis: Analysis, conditions: Conditions, folder: Path) -> list[str]:
    """Write tables (CSV), spectra (text), bands and density of states (CSV); return the names of the files."""
    tables = sheets(result, analysis, conditions)
    if analysis.scan is not None:
        tables.append(scan_sheet(analysis.scan))
    if analysis.bands is not None:
        b = analysis.bands
        names = [f"band_{k + 1}_cm-1" for k in range(b.wavenumbers[0].shape[1])]
        columns = ["segment", "distance_1/A", "q1", "q2", "q3", *names]
        rows = [
            [f"{start}-{end}", float(d), *q.tolist(), *w.tolist()]
            for (start, end), ds, qs, ws in zip(b.ends, b.distances, b.qpoints, b.wavenumbers, strict=True)
            for d, q, w in zip(ds, qs, ws, strict=True)
        ]
        tables.append(Sheet("bands", "", columns, rows))
    if analysis.dos is not None:
        d = analysis.dos
        columns = ["cm^-1", "total per cm^-1", *d.elements]
        rows = np.column_stack([d.wavenumbers, d.total, *d.elements.values()]).tolist()
        tables.append(Sheet("dos", "", columns, rows))
    for sheet in tables:
        write_sheet(folder / f"{sheet.name}.csv", sheet)
    spectra = {f"infrared_{name}.txt": spectrum for name, spectrum in analysis.infrared.items()}
    if analysis.raman is not None:
        spectra["raman_powder.txt"] = analysis.raman
    for name, (spectrum, _, _) in analysis.oriented.items():
        spectra["raman_" + "".join(ch if ch.isalnum() else "_" for ch in name).strip("_") + ".txt"] = spectrum
    for name, spectrum in spectra.items():
        write_spectrum(folder / name, spectrum, force=True)
    return [*(f"{sheet.name}.csv" for sheet in tables), *spectra]

"""Tables of a phonon calculation for the terminal, the page and CSV files, and its spectra as text files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..io.files import atomic_output
from ..io.series.spectrum_text import write_spectrum
from ..units import THZ_TO_INV_CM
from .analysis import Analysis, Conditions
from .infrared import UNITS, intensities
from .loto import AngleScan
from .modes import GammaModes
from .raman import Invariants, activity, cross_section, depolarization, invariants
from .raman_crystal import PolarizationScan
from .workflow import Phonons


class Sheet(NamedTuple):
    """A table.

    Attributes
    ----------
    name : str
        Name of its file, without suffix.
    title : str
    columns : sequence of str
        Names of the columns, with units.
    rows : sequence of sequences
        Text and numbers.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def text(self) -> str:
        """Return the table as aligned text for a terminal."""
        cells = [[cell_text(value) for value in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        lines = [self.title] if self.title else []
        for row in (self.columns, *cells):
            lines.append("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        return "\n".join(lines)

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def _clean(values: np.ndarray) -> np.ndarray:
    """Return the values with rounding errors replaced by zero."""
    return np.where(np.abs(values) < 1e-10 * np.nanmax(np.abs(values), initial=1e-300), 0.0, values)


def cell_text(value) -> str:
    """Return a value as text: two decimals from 10 to 1e5 (e.g. wavenumbers), else four digits, ``-`` if missing."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if 10 <= abs(value) < 1e5 else f"{value + 0.0:.4g}"
    return str(value)


def mode_sheet(modes: GammaModes, charges=None, strengths=None, tensors=None, conditions=None) -> Sheet:
    """Return the table of modes, with one row for each degenerate set and sums over its modes.

    Parameters
    ----------
    modes : GammaModes
        Modes of a crystal or a molecule.
    charges : array, shape (n_modes, 3), in e/sqrt(amu), optional
        From :func:`.infrared.mode_charges`.
    strengths : array, shape (n_modes, 3, 3), optional
        From :func:`.infrared.oscillator_strengths`.
    tensors : array, shape (n_modes, 3, 3), in Å²/sqrt(amu), optional
        From :func:`.raman.raman_tensors`.
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
    """Return the table of LO-TO splitting, for each direction with the modes with a dipole along q, or all modes.

    Parameters
    ----------
    modes : GammaModes
        Modes at Gamma, without the macroscopic field.
    splittings : list of (direction, GammaModes, list of Branch, LyddaneSachsTeller or None)
    everything : bool
        Whether to list all modes.
    """
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
    """Return the table of the frequencies of an angle scan."""
    columns = ["angle_degrees", "qx", "qy", "qz", *(f"mode_{k + 1}_cm-1" for k in range(scan.wavenumbers.shape[1]))]
    rows = np.column_stack([scan.angles, scan.directions, scan.wavenumbers]).tolist()
    return Sheet("loto_angle", "modes against the angle of q", columns, rows)


def lst_sheet(splittings) -> Sheet:
    """Return the table of the Lyddane-Sachs-Teller check, without rows if modes are imaginary."""
    found = [(q, lst) for q, _, _, lst in splittings if lst is not None]
    rows = [[direction_name(q), lst.frequencies, lst.dielectric, lst.deviation] for q, lst in found]
    return Sheet(
        "lst", "Lyddane-Sachs-Teller", ["q", "prod w(q)^2/w_TO^2", "eps_0/eps_inf", "relative deviation"], rows
    )


def direction_name(q) -> str:
    """Return a direction as text: small integers such as ``[1 0 0]`` if possible, else its components."""
    scaled = np.asarray(q, dtype=float) / np.abs(q).max()
    for factor in (1, 2, 3):
        if np.abs(scaled * factor - np.rint(scaled * factor)).max() < 1e-6:
            return "[" + " ".join(f"{int(round(x))}" for x in scaled * factor) + "]"
    return "[" + " ".join(f"{x:.4f}" for x in q) + "]"


def porto_sheet(oriented) -> Sheet:
    """Return the table of intensities of oriented scattering geometries, without modes that do not scatter."""
    rows = []
    for name, (_, modes, squared) in oriented.items():
        for k in modes.optical_sets:
            if squared[k] > 1e-6 * max(squared.max(), 1e-12):
                rows.append([name, float(modes.wavenumbers[list(modes.sets[k])].mean()), float(squared[k])])
    return Sheet("porto", "oriented crystal", ["geometry", "cm^-1", "|e_s.A.e_i|^2 A^4/amu"], rows)


def polarization_sheet(name: str, scan: PolarizationScan) -> Sheet:
    """Return the table of a scan of the polarization, with HH and HV of each degenerate set that scatters."""
    sets = scan.scattering_sets
    names = [f"{scan.modes.wavenumbers[list(scan.modes.sets[k])].mean():.2f}_cm-1" for k in sets]
    columns = ["angle_degrees", *(f"{which}_{n}_A^4/amu" for n in names for which in ("HH", "HV"))]
    values = np.stack([scan.parallel[:, sets], scan.crossed[:, sets]], axis=-1).reshape(len(scan.angles), -1)
    rows = np.column_stack([scan.angles, _clean(values)]).tolist()
    return Sheet(f"polarization_{file_word(name)}", f"scan of the polarization {name}", columns, rows)


def file_word(name: str) -> str:
    """Return a notation such as ``z(xy)-z`` as part of a file name."""
    return "".join(ch if ch.isalnum() else "_" for ch in name).strip("_")


def sheets(result: Phonons, analysis: Analysis, conditions: Conditions) -> list[Sheet]:
    """Return the tables of a crystal, that of the modes first."""
    found = [mode_sheet(result.modes, analysis.charges, analysis.strengths, analysis.tensors, conditions)]
    if analysis.splittings:
        found.append(loto_sheet(result.modes, analysis.splittings))
        if not result.modes.imaginary():
            found.append(lst_sheet(analysis.splittings))
    if analysis.oriented:
        found.append(porto_sheet(analysis.oriented))
    return found


def display_sheets(found: list[Sheet]) -> list[Sheet]:
    """Return the tables for a terminal or a page, with that of the modes split into infrared and Raman."""
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
    """Return pairs of name and value that describe the crystal, its dielectric tensors and its charges."""
    p = result.provenance
    lines = [
        ("space group", str(p.get("space_group", "?"))),
        ("primitive cell", f"{len(result.phonon.primitive)} atoms, {result.modes.volume:.4f} A^3"),
        ("supercell", _supercell_text(p, len(result.phonon.supercell))),
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


def _supercell_text(provenance: dict, atoms: int) -> str:
    """Return the size of the supercell as text, from its repeats or its matrix, and its number of atoms."""
    repeats = np.array(provenance.get("supercell", []))
    if repeats.ndim == 2 and (repeats == np.diag(repeats.diagonal())).all():
        repeats = repeats.diagonal()
    text = " x ".join(map(str, repeats.tolist())) if repeats.ndim == 1 else f"matrix {repeats.tolist()}"
    displaced = f", {provenance['supercells']} displaced" if "supercells" in provenance else ""
    return f"{text} unit cells, {atoms} atoms{displaced}"


def tensor_text(tensor) -> str:
    """Return a symmetric tensor as text: xx, yy and zz, and the other components that are not zero."""
    t = np.asarray(tensor)
    text = "xx {:.4f}, yy {:.4f}, zz {:.4f}".format(*t.diagonal())
    rest = [(n, t[i, j]) for n, i, j in (("yz", 1, 2), ("xz", 0, 2), ("xy", 0, 1)) if abs(t[i, j]) > 1e-4]
    return text + "".join(f", {name} {value:.4f}" for name, value in rest)


def write_sheet(path, sheet: Sheet) -> None:
    """Write a table as CSV with all digits; an existing file is replaced."""
    with atomic_output(path, force=True) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(sheet.columns)
        writer.writerows(sheet.rows)


def write_tables(result: Phonons, analysis: Analysis, conditions: Conditions, folder: Path) -> list[str]:
    """Write tables, bands and density of states (CSV) and spectra (text), and return the names of the files."""
    tables = sheets(result, analysis, conditions)
    if analysis.scan is not None:
        tables.append(scan_sheet(analysis.scan))
    tables += [polarization_sheet(name, scan) for name, scan in analysis.polarization_scans.items()]
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
        spectra[f"raman_{file_word(name)}.txt"] = spectrum
    for name, spectrum in spectra.items():
        write_spectrum(folder / name, spectrum, force=True)
    return [*(f"{sheet.name}.csv" for sheet in tables), *spectra]

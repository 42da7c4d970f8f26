"""The HTML page of a phonon calculation, and its figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..phonons.analysis import Analysis, Conditions, axis_name
from ..phonons.report import cell_text, display_sheets, facts, file_word, sheets
from ..phonons.workflow import Phonons
from ..spectra.record import Spectrum
from .page import Picture, Section, Table, write_page
from .phonons import (
    plot_angle_scan,
    plot_bands,
    plot_infrared_modes,
    plot_modes_dielectric,
    plot_polarization_scan,
    plot_raman_modes,
    plot_reflectivity,
)
from .style import save_figure


def figures(
    result: Phonons, analysis: Analysis, dynamics: dict[str, Spectrum] | None = None
) -> dict[str, tuple[Any, str]]:
    """Return the figures and their captions, by file name without suffix.

    Parameters
    ----------
    result : Phonons
    analysis : Analysis
    dynamics : dict of str to Spectrum, optional
        ``infrared`` and ``raman`` spectra from molecular dynamics, which are drawn together with those of the modes.
    """
    found: dict[str, tuple[Any, str]] = {}
    md = dynamics or {}
    if analysis.bands is not None:
        nac = "with" if result.charges is not None else "without"
        found["bands"] = (
            plot_bands(analysis.bands, analysis.dos),
            f"Bands along the path of seekpath and density of states, {nac} the non-analytic term.",
        )
    if analysis.scan is not None:
        found["loto_angle"] = (
            plot_angle_scan(analysis.scan, axis_name(analysis.axes[2]), axis_name(analysis.axes[0])),
            "Modes at q -> 0 against the direction of q. The colour is the share of the dipole along q.",
        )
    if analysis.infrared:
        found["infrared"] = (
            plot_infrared_modes(analysis, result.modes, md.get("infrared")),
            "Infrared absorption, averaged over directions (blue), and intensities of the TO modes (red).",
        )
        found["dielectric"] = (
            plot_modes_dielectric(analysis),
            "Dielectric function and loss function along the principal axes.",
        )
        found["reflectivity"] = plot_reflectivity(analysis), "Reflectivity at normal incidence."
    if analysis.raman is not None:
        found["raman"] = (
            plot_raman_modes(analysis, result.modes, md.get("raman")),
            "Stokes Raman spectrum of a powder, and activities of the TO modes (red).",
        )
    for name, scan in analysis.polarization_scans.items():
        found[f"polarization_{file_word(name)}"] = (
            plot_polarization_scan(scan),
            f"Backscattering {name}: intensity of each mode against the angle of the polarization, with the analyser "
            "parallel (HH) and crossed (HV); each panel has its own scale, in Å⁴/amu.",
        )
    return found


def write_phonon_page(
    folder,
    title: str,
    result: Phonons,
    analysis: Analysis,
    conditions: Conditions,
    files: dict[str, str],
    dynamics: dict[str, Spectrum] | None = None,
) -> None:
    """Write ``phonons.html`` and one PNG per figure.

    Parameters
    ----------
    folder : path
        Existing folder.
    title : str
    result : Phonons
        Result of :func:`tnep_calc.phonons.workflow.run_phonons`.
    analysis : Analysis
        Result of :func:`tnep_calc.phonons.analysis.analyse`.
    conditions : Conditions
        Conditions of the analysis.
    files : dict of str to str
        Other files of the folder, with a description of their content.
    dynamics : dict of str to Spectrum, optional
        ``infrared`` and ``raman`` spectra from molecular dynamics, which are drawn together with those of the modes.
    """
    from matplotlib import pyplot

    folder = Path(folder)
    pictures = {}
    for name, (figure, caption) in figures(result, analysis, dynamics).items():
        save_figure(figure, folder / f"{name}.png", force=True)
        width = int(150 * figure.get_figwidth())
        pyplot.close(figure)
        pictures[name] = Picture((folder / f"{name}.png").read_bytes(), caption, width)
    notes = [*result.notes, *analysis.notes]
    sections = [Section("Crystal", [Table((), facts(result, analysis)), *notes])]
    listed = display_sheets(sheets(result, analysis, conditions))
    tables = [Table(s.columns, [[cell_text(v) for v in row] for row in s.rows], s.title) for s in listed]

    def part(heading, names, *before):
        found = [pictures[name] for name in names if name in pictures]
        if before or found:
            sections.append(Section(heading, [*before, *found]))

    def named(*names):
        return [table for table, sheet in zip(tables, listed, strict=True) if sheet.name in names]

    raman = [table for table in named("modes") if table.caption.endswith("Raman")]
    part("Modes", ("bands",), tables[0])
    part("LO-TO splitting", ("loto_angle",), *named("loto", "lst"))
    part("Infrared and dielectric response", ("infrared", "dielectric", "reflectivity"))
    light = [f"{conditions.temperature:g} K, laser {conditions.laser:g} nm"] if raman else []
    scans = [name for name in pictures if name.startswith("polarization_")]
    part("Raman", ("raman", *scans), *light, *raman, *named("porto"))
    sections.append(Section("Files", [Table(("file", "content"), list(files.items()))]))
    settings = result.provenance.get("settings", {})
    rows = [(key, str(value)) for key, value in {**result.provenance, **settings}.items() if key != "settings"]
    sections.append(Section("Provenance", [Table((), rows)]))
    write_page(folder / "phonons.html", title, sections)

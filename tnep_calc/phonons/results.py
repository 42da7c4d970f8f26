"""All results of a phonon calculation as nested data, and as ``phonons.json``."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..io.files import atomic_output
from ..io.numbers import to_json
from .analysis import Analysis, Conditions
from .infrared import UNITS, intensities
from .raman import activity, depolarization, invariants
from .workflow import Phonons


def numbers(result: Phonons, analysis: Analysis, conditions: Conditions, exports: dict[str, str]) -> dict:
    """Return all results as nested dictionaries for JSON; keys of quantities with a unit end in that unit."""
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
            "lyddane_sachs_teller": None if lst is None else lst._asdict(),
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
            "polarization_scans": {
                name: {
                    "light": scan.incident,
                    "polarization_at_0": scan.start,
                    "angles_degrees": scan.angles,
                    "wavenumbers_cm-1": scan.modes.wavenumbers,
                    "degenerate_sets": scan.modes.sets,
                    "HH_A4_per_amu": scan.parallel,
                    "HV_A4_per_amu": scan.crossed,
                }
                for name, scan in analysis.polarization_scans.items()
            },
        }
    return data


def write_numbers(path, data: dict) -> None:
    """Write nested data as JSON; an existing file is replaced."""
    with atomic_output(path, force=True) as temporary:
        temporary.write_text(to_json(data))

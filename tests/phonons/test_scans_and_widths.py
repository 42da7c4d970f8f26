"""Scans of the polarization with LO modes, widths of LO modes, and spectra with one width per mode."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from helpers.polar_crystal import PolarCrystal, wurtzite
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.phonons import lo_to
from tnep_calc.phonons.cells import to_ase
from tnep_calc.phonons.infrared import infrared_modes_spectrum, mode_charges
from tnep_calc.phonons.raman import raman_modes_spectrum, raman_tensors
from tnep_calc.phonons.raman_crystal import (
    longitudinal_tensors,
    porto_spectrum,
    powder_average,
    scan_polarization,
    widths_at_q,
)
from tnep_calc.phonons.workflow import Settings, run_phonons

pytestmark = pytest.mark.slow

pytest.importorskip("phonopy")
GRID = np.arange(1.0, 600.0, 0.25)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run_phonons(wurtzite(), PolarCrystal(), tmp_path_factory.mktemp("w"), Settings(length=6), log=lambda x: None)


def test_scan_equals_porto_geometries(result):
    """At 0, 30 and 90 degrees HH and HV are the intensities of these geometries, with the LO modes along the light."""
    scan = scan_polarization(result.phonon, result.gradient, "z(x)", step=30)
    for k, angle in ((0, 0.0), (1, 30.0), (3, 90.0)):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        along, across = f"[{c},{s},0]", f"[{-s},{c},0]"
        for values, notation in ((scan.parallel, f"z({along}{along})-z"), (scan.crossed, f"z({along}{across})-z")):
            _, modes, squared = porto_spectrum(result.phonon, result.gradient, notation, GRID)
            np.testing.assert_allclose(values[k], squared, atol=1e-9 * squared.max())
    assert scan.angles[-1] == 360
    longitudinal = lo_to(result.phonon, [[0, 0, 1]])[0]
    np.testing.assert_allclose(scan.modes.wavenumbers[3:], longitudinal[3:], atol=1e-4)
    names = [scan.modes.wavenumbers[scan.modes.sets[k][0]] for k in scan.scattering_sets]
    to = [w for w, label in zip(mode_numbers(result), result.modes.labels, strict=True) if label == "A1"]
    assert all(abs(w - to[0]) > 0.1 for w in names)  # A1 is longitudinal for light along z


def mode_numbers(result):
    return [result.modes.wavenumbers[group[0]] for group in result.modes.sets]


def test_scan_of_a_rotated_crystal(result):
    """Light, polarization and crystal rotated together give the same scan; a backward light turns the other way."""
    forward = scan_polarization(result.phonon, result.gradient, "x(y)", step=20)
    backward = scan_polarization(result.phonon, result.gradient, "-x(y)", step=20)
    np.testing.assert_allclose(backward.parallel[::-1], forward.parallel, atol=1e-9 * forward.parallel.max())
    turn = Rotation.from_euler("z", 60, degrees=True).as_matrix()  # with the inverse of a screw axis: same tensor
    k, e = turn @ [1, 0, 0], turn @ [0, 1, 0]
    word = "[" + ",".join(map(str, k)) + "]([" + ",".join(map(str, e)) + "])"
    other = scan_polarization(result.phonon, result.gradient, word, step=20)
    np.testing.assert_allclose(other.parallel, forward.parallel, atol=1e-6 * forward.parallel.max())


def test_notation_errors(result):
    for wrong in ("zx", "z(x", "(x)", "z(z)"):
        with pytest.raises(InputError, match="polarization"):
            scan_polarization(result.phonon, result.gradient, wrong)


def test_width_of_a_mixed_mode_is_that_of_the_loss_function(result):
    """For q between z and x, A1 and E1 mix: the zeros of q.eps(w).q have the widths of the mixed modes."""
    widths = np.ones(12)
    for group, label in zip(result.modes.sets, result.modes.labels, strict=True):
        widths[list(group)] = 6.0 if label == "A1" else 1.0
    charges = mode_charges(result.charges.used, result.modes)
    q = np.array([1.0, 0.0, 1.0]) / np.sqrt(2)
    modes, _ = longitudinal_tensors(result.phonon, result.gradient, q)
    found = widths_at_q(modes, result.modes, widths)
    k = int(np.abs(mode_charges(result.charges.used, modes) @ q).argmax())
    assert 1.1 < found[k] < 5.0  # neither that of A1 nor that of E1
    near = modes.wavenumbers[k] + np.arange(-5, 5, 0.01)
    spectrum = infrared_modes_spectrum(near, result.charges.dielectric, charges, result.modes, widths, direction=q)
    loss = spectrum.values["loss"]
    assert near[loss.argmax()] == pytest.approx(modes.wavenumbers[k], abs=0.1)
    assert np.ptp(near[loss > loss.max() / 2]) == pytest.approx(found[k], abs=0.1)
    np.testing.assert_allclose(widths_at_q(result.modes, result.modes, widths)[3:], averaged(result, widths)[3:])
    np.testing.assert_allclose(widths_at_q(modes, result.modes, 7.0), 7.0)


def averaged(result, widths):
    value = widths.copy()
    for group in result.modes.sets:
        value[list(group)] = widths[list(group)].mean()
    return value


def test_powder_average_with_one_width_per_mode(result, tmp_path):
    """Without charges it is the spectrum of the TO modes with their widths; equal widths are one width."""
    widths = np.linspace(2.0, 9.0, 12)
    weak = run_phonons(wurtzite(), PolarCrystal(charge=1e-6), tmp_path, Settings(length=6), log=lambda x: None)
    tensors = raman_tensors(weak.gradient, weak.modes)
    expected = raman_modes_spectrum(GRID, tensors, weak.modes, widths=widths)
    found = powder_average(weak.phonon, weak.gradient, GRID, widths=widths)
    for name in ("VV", "VH"):
        np.testing.assert_allclose(found.values[name], expected.values[name], atol=1e-6 * expected.values[name].max())
    one = powder_average(result.phonon, result.gradient, GRID, widths=5.0, order=5)
    many = powder_average(result.phonon, result.gradient, GRID, widths=np.full(12, 5.0), order=5)
    np.testing.assert_allclose(many.values["VV"], one.values["VV"], atol=1e-9 * one.values["VV"].max())
    oriented, modes, squared = porto_spectrum(result.phonon, result.gradient, "z(xy)-z", GRID, widths=widths)
    assert len(oriented.parameters["fwhm_cm-1"]) == 12
    k = int(squared.argmax())
    centre, width = (
        modes.wavenumbers[modes.sets[k][0]],
        widths_at_q(modes, result.modes, widths)[list(modes.sets[k])].mean(),
    )
    value = oriented.values["oriented"]
    near = np.abs(GRID - centre) < 2 * width
    assert np.ptp(GRID[near][value[near] > value[near].max() / 2]) == pytest.approx(width, abs=0.6)


def test_command_writes_table_and_figure(result, tmp_path, monkeypatch):
    import tnep_calc.cli.phonons as command

    monkeypatch.setattr(command, "calculator_of", lambda args: (PolarCrystal(), {"models": {}}))
    atoms = to_ase(result.phonon.unitcell)
    atoms.write(tmp_path / "w.extxyz")
    lines = [f"{k} 100 {width}" for k, width in enumerate(np.linspace(2, 5, 12), 1)]
    (tmp_path / "widths.txt").write_text("\n".join(lines))
    out = tmp_path / "out"
    words = ["phonons", str(tmp_path / "w.extxyz"), "-o", str(out), "--length", "6", "--fixed-cell"]
    scans = ["--polarization-scan", "z(x)", "--polarization-scan=-x(z)", "--widths", str(tmp_path / "widths.txt")]
    assert main([*words, *scans]) == 0
    numbers = json.loads((out / "phonons.json").read_text())
    scan = numbers["raman"]["polarization_scans"]["z(x)"]
    rows = (out / "polarization_z_x.csv").read_text().splitlines()
    assert len(rows) == 1 + len(scan["angles_degrees"]) == 74 and rows[0].startswith("angle_degrees,HH_")
    assert (out / "polarization_x_z.png").exists() and "Backscattering -x(z)" in (out / "phonons.html").read_text()
    np.testing.assert_allclose(numbers["primitive_cell"]["lattice_A"], atoms.cell.array, atol=1e-6)
    assert any("weighted by squared overlaps" in note for note in numbers["notes"])


def test_relaxation_at_fixed_cell(result, tmp_path):
    atoms = to_ase(result.phonon.unitcell)
    atoms.positions[2:, 2] += 0.05
    settings = Settings(length=6, fixed_cell=True)
    found = run_phonons(atoms, PolarCrystal(), tmp_path, settings, log=lambda x: None)
    np.testing.assert_allclose(found.phonon.unitcell.cell, atoms.cell.array, atol=1e-9)
    np.testing.assert_allclose(found.modes.wavenumbers[3:], result.modes.wavenumbers[3:], atol=0.2)
    assert not any("forces of up to" in note for note in found.notes)
    with pytest.raises(InputError, match="relax = True"):
        Settings(relax=False, fixed_cell=True)

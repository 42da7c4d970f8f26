"""Finite electric fields of ABINIT: a real set of calculations against perturbation theory, and refusals."""

import io
import lzma
import re

import h5py
import numpy as np
import pytest

from helpers.paths import DATA
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError
from tnep_calc.io.structures.abinit import read_abinit
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.units import BOHR, EPSILON_0, HARTREE

ABINIT = DATA / "abinit"
SET = ABINIT / "bn_field.abo.xz"
TEXT = lzma.open(SET, "rt").read()
E = 1e-3 * HARTREE / BOHR  # V/Å; datasets 2 to 7 are in -x, +x, -y, +y, -z, +z
NO_RESPONSE = TEXT.replace("Dielectric tensor, in cart", "").replace("(from electric field response)", "")


def only(*datasets):
    """Return the output with only some of its datasets."""
    parts = re.split(r"^(?=== (?:DATASET|END))", NO_RESPONSE, flags=re.M)
    return "".join(p for p in parts if not p.startswith("== DATASET") or int(p[10:13]) in datasets)


def printed(pattern, dataset):
    section = only(dataset).split("== DATASET")[1]
    return np.array(re.findall(pattern + r"((?:\s+[-+.\dE]+)+)", section)[0].split(), dtype=float)


def read(tmp_path, text):
    (tmp_path / "a.abo").write_text(text)
    return read_abinit([tmp_path / "a.abo"])


def test_differences_agree_with_perturbation_theory(tmp_path):
    """The perturbation theory uses the k derivative of the Berry phase, so they agree without k convergence."""
    expected, differences = read_abinit([SET])[0], read(tmp_path, NO_RESPONSE)[0]
    epsilon, other = (s.polarizability / (EPSILON_0 * s.volume) for s in (differences, expected))
    np.testing.assert_allclose(epsilon, other, atol=1e-4)
    np.testing.assert_allclose(differences.born_charges, expected.born_charges, atol=1e-4)
    # so the order can be distinguished
    assert np.abs(expected.born_charges - expected.born_charges.transpose(0, 2, 1)).max() > 0.01
    assert not np.array_equal(differences.born_charges, expected.born_charges)


def test_labels_in_a_field():
    base, *in_field = read_abinit([SET])
    assert base.electric_field is None and base.source.endswith("bn_field.abo.xz, dataset 1")
    assert base.virial is not None and base.energy == pytest.approx(-13.106428963 * HARTREE, abs=1e-7)
    vectors = np.array([-1, 1])[None, :, None] * np.eye(3)[:, None, :] * E
    np.testing.assert_allclose([s.electric_field for s in in_field], vectors.reshape(6, 3), rtol=1e-8)
    for k, s in enumerate(in_field, start=2):
        assert s.virial is None and s.born_charges is None and s.polarizability is None
        quanta = (s.dipole - printed("Total:", k)[:3] * base.volume / BOHR**2) @ np.linalg.inv(s.cell)
        np.testing.assert_allclose(quanta, np.round(quanta), atol=1e-7)
        # etotal also contains the energy of the field itself, and P of another branch
        shift = s.electric_field @ (np.round(quanta) @ s.cell)
        etotal = printed("total_energy +:", k)[0] * HARTREE
        field_energy = EPSILON_0 * s.volume * E**2 / 2
        assert s.energy == pytest.approx(etotal + field_energy - shift, abs=1e-8)
    for axis, (minus, plus) in enumerate(zip(in_field[::2], in_field[1::2], strict=True)):
        assert (minus.energy - plus.energy) / (2 * E) == pytest.approx(base.dipole[axis], abs=1e-5)  # P = -dH/dE
        curvature = (minus.energy + plus.energy - 2 * base.energy) / E**2
        assert -curvature == pytest.approx(base.polarizability[axis, axis], rel=1e-4)
        np.testing.assert_allclose((plus.forces - minus.forces) / (2 * E), base.born_charges[:, axis], atol=1e-4)


def test_one_calculation_alone(tmp_path):
    """Its labels are on the branch of its own folded dipole."""
    from_set = read_abinit([SET])[2]
    (alone,) = read(tmp_path, only(3))
    assert alone.source.endswith("a.abo") and np.array_equal(alone.electric_field, from_set.electric_field)
    shift = alone.dipole - from_set.dipole
    np.testing.assert_allclose(
        shift @ np.linalg.inv(alone.cell), np.round(shift @ np.linalg.inv(alone.cell)), atol=1e-9
    )
    assert alone.energy == pytest.approx(from_set.energy - alone.electric_field @ shift, abs=1e-9)
    np.testing.assert_array_equal(alone.forces, from_set.forces)
    older = only(3).replace("kohn_sham           :", "    Kohn-Sham energy=")  # as in versions before 9
    assert read(tmp_path, older)[0].energy == alone.energy


def test_incomplete_sets(tmp_path, caplog):
    base, *_ = read(tmp_path, only(1, 3, 5))
    assert base.born_charges is None and base.polarizability is None and "do not span all directions" in caplog.text
    base, *in_field = read(tmp_path, only(1, 3, 5, 7))  # fields of one sign: larger errors
    np.testing.assert_allclose(base.born_charges, read_abinit([SET])[0].born_charges, atol=3e-3)
    no_dipole = re.sub(r"(DATASET +1 .*?)Polarization in cart", r"\1", only(1, 3), count=1, flags=re.S)
    base, in_x = read(tmp_path, no_dipole)
    assert base.dipole is None and in_x.dipole is not None


def test_reduced_field_has_no_forces(tmp_path, caplog):
    text = only(1, 3, 5, 7).replace("berryopt3          4", "berryopt3         14")
    base, in_x, in_y, _ = read(tmp_path, text)
    assert in_x.forces is None and in_x.energy is not None and in_y.forces is not None
    assert base.born_charges is None and base.polarizability is not None
    assert "dataset 3: forces left out: with berryopt = 14" in caplog.text


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("berryopt3          4", "berryopt3         16", "dataset 3: displacement fields .*berryopt = 16"),
        ("berryopt9          0", "berryopt9          4", "dataset 9: is in a constant field, but .* no final values"),
        ("kohn_sham  ", "other  ", "dataset 2: .*no Kohn-Sham energy"),
        ("=>converged", " was not enough SCF cycles to converge", "dataset 1: the SCF cycle has not converged"),
        (
            "kohn_sham           : -1.3106418",
            "kohn_sham           : -1.3106318",
            "energy and polarization do not fit together",
        ),
    ],
)
def test_errors_name_file_and_dataset(tmp_path, old, new, message):
    assert old in TEXT
    with pytest.raises(DataFileError, match=rf"a\.abo, {message}|a\.abo, dataset \d: {message}"):
        read(tmp_path, TEXT.replace(old, new))


def test_netcdf_of_a_field_is_refused(tmp_path):
    content = io.BytesIO(lzma.open(ABINIT / "bn_DS1_GSR.nc.xz").read())
    with h5py.File(content, "r+") as file:
        file["e_elecfield"][()] = 0.005
    (tmp_path / "f_GSR.nc").write_bytes(content.getvalue())
    with pytest.raises(DataFileError, match=r"f_GSR\.nc: is in a constant field that it does not state"):
        read_abinit([tmp_path / "f_GSR.nc"])


def test_command(tmp_path, capsys):
    out = tmp_path / "out.extxyz"
    assert main(["data", str(out), str(SET)]) == 0
    assert "6  with electric_field" in capsys.readouterr().out
    for written, direct in zip(read_dataset(out), read_abinit([SET]), strict=True):
        assert written.energy == direct.energy
        np.testing.assert_allclose(written.dipole, direct.dipole, atol=1e-12)
    assert main(["data", "--check", str(out)]) == 0

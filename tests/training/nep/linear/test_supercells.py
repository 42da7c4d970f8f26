import numpy as np
import pytest
from calorine.calculators import CPUNEP

from helpers.rock_salt import displaced, nacl, small_supercell
from tnep_calc import TNEPCalculator, read_nep
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.displaced_supercells import SupercellData
from tnep_calc.phonons.anharmonic.accuracy import potential_errors
from tnep_calc.training.nep.linear import equations
from tnep_calc.training.nep.linear.basis import NepBasis, design
from tnep_calc.training.nep.linear.supercells import fit_nep

pytestmark = pytest.mark.slow

SMALL = NepBasis(("Na", "Cl"), 5.0, 4.0, (3, 2), 3)
SETTINGS = {"radial_cutoff": 5.0, "angular_cutoff": 4.0, "basis_size": [3, 2], "l_max": 3, "n_max": 1}


@pytest.fixture(scope="module")
def made_up():
    """Return displaced supercells of 16 atoms whose energies and forces a NEP of rank 2 has exactly."""
    supercell = small_supercell(nacl()[0]).supercell
    rng = np.random.default_rng(2)
    pairs = np.triu_indices(SMALL.functions)
    x = np.zeros(SMALL.size)
    x[: SMALL.radial_size] = rng.standard_normal(SMALL.radial_size)
    products = x[SMALL.radial_size :].reshape(2, SMALL.l_max, -1)
    for kind in range(2):
        c = rng.standard_normal((2, SMALL.functions))
        for l in range(SMALL.l_max):
            products[kind, l] = 0.1 * np.einsum("n,nK,nL->KL", rng.standard_normal(2), c, c)[pairs]
    types = np.array([SMALL.species.index(symbol) for symbol in supercell.symbols])
    displacements = 0.03 * rng.standard_normal((24, 16, 3))
    labels = [design(SMALL, types, supercell.positions + shift, supercell.cell) for shift in displacements]
    return SupercellData(
        supercell,
        displacements,
        np.array([(label.forces @ x).reshape(-1, 3) for label in labels]),
        np.array([label.energies @ x for label in labels]) - 55.0,
    )


def test_a_nep_of_low_rank_is_recovered(made_up, tmp_path):
    fit_nep(made_up, range(20), range(20, 24), tmp_path / "nep.txt", SETTINGS)
    errors = potential_errors(made_up, TNEPCalculator(energy=tmp_path / "nep.txt"), range(20, 24))
    assert errors.force_rmse < 1e-4 * errors.force_spread
    assert errors.energy_rmse < 1e-3 * 1e3 * made_up.energies.std() / 16
    fit_nep(made_up, range(20), range(20, 24), tmp_path / "one.txt", SETTINGS | {"n_max": 0})
    one = potential_errors(made_up, TNEPCalculator(energy=tmp_path / "one.txt"), range(20, 24))
    assert one.force_rmse > 3 * errors.force_rmse  # a single function is not enough


def test_the_file_gives_the_same_in_calorine(made_up, tmp_path):
    written = fit_nep(made_up, range(20), range(20, 24), tmp_path / "nep.txt", SETTINGS)
    assert read_nep(tmp_path / "nep.txt").max_neighbors == written.max_neighbors
    atoms = displaced(made_up, 22)
    found = []
    for calculator in (TNEPCalculator(energy=tmp_path / "nep.txt"), CPUNEP(str(tmp_path / "nep.txt"))):
        atoms.calc = calculator
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert np.allclose(found[0][1], found[1][1], atol=1e-6)


def test_dft_supercells_of_rock_salt(tmp_path):
    data = nacl()[1]
    fit_nep(data, range(10), (20, 21), tmp_path / "nep.txt")
    errors = potential_errors(data, TNEPCalculator(energy=tmp_path / "nep.txt"), range(10, 20))
    assert errors.force_spread == pytest.approx(44, abs=2)
    assert errors.force_rmse < 0.06  # meV/Å
    assert errors.energy_rmse < 0.01  # meV/atom


def test_a_killed_fit_resumes(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr(equations, "SAVE_INTERVAL", 0.0)
    fit_nep(made_up, range(20), range(20, 24), tmp_path / "whole.txt", SETTINGS)
    calls, checkpoint = [], tmp_path / "equations.npz"

    def stopping(*arguments):
        if len(calls) == 22:
            raise KeyboardInterrupt
        calls.append(arguments)
        return design(*arguments)

    monkeypatch.setattr(equations, "design", stopping)
    arguments = (made_up, range(20), range(20, 24), tmp_path / "nep.txt", SETTINGS, checkpoint)
    with pytest.raises(KeyboardInterrupt):
        fit_nep(*arguments)
    assert not (tmp_path / "nep.txt").exists()
    calls.clear()
    fit_nep(*arguments)
    assert len(calls) == 2  # the last two of the 24 supercells
    assert (tmp_path / "nep.txt").read_text() == (tmp_path / "whole.txt").read_text()
    other = SupercellData(made_up.supercell, made_up.displacements, 2 * made_up.forces, made_up.energies)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        fit_nep(other, *arguments[1:])  # with other forces the checkpoint is not used
    checkpoint.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataFileError, match="equations.npz: damaged, or not arrays of a previous run; delete it"):
        fit_nep(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"neurons": 3}, "has no parameter 'neurons'; known: radial_cutoff"),
        ({"basis_size": 3}, "'basis_size' of the fit of a NEP must be two integers, got 3"),
        ({"n_max": "many"}, "'n_max' of the fit of a NEP must be one number, got many"),
        ({"n_max": -1}, "must not be negative"),
        ({"angular_cutoff": 9.0}, "must satisfy 0 < angular_cutoff <= radial_cutoff, got 9 and 8 Å"),
        ({"l_max": 9}, "l_max from 1 to 8"),
        ({"basis_size": [8, 40]}, "linear coefficients is too large"),
    ),
)
def test_refusals(made_up, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        fit_nep(made_up, range(2), range(2, 4), tmp_path / "nep.txt", change)
    assert not (tmp_path / "nep.txt").exists()

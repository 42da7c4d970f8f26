import pytest

from tnep_calc import TNEPCalculator
from tnep_calc.phonons import force_constants
from tnep_calc.phonons.anharmonic.conductivity import thermal_conductivity
from tnep_calc.training.nep.linear.supercells import fit_nep

DFT = 8.26
"""kappa in W/(m K) at 300 K from the DFT forces of all 100 supercells; phono3py 4.8, the same mesh."""


@pytest.mark.slow
@pytest.mark.extended
def test_a_nep_of_twenty_supercells(crystal, tmp_path):
    found, data = crystal
    fit_nep(data, range(20), (20, 21), tmp_path / "nep.txt")
    result = force_constants(found, TNEPCalculator(energy=tmp_path / "nep.txt"))
    kappa = thermal_conductivity(result, (11, 11, 11)).kappa[0, :3]
    assert kappa == pytest.approx([DFT] * 3, rel=0.03)

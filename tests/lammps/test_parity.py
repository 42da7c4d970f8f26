"""Every output of LAMMPS after crossings of boundaries and a restart in mid-run, on any ranks, equals the calculator."""

import itertools

import numpy as np
import pytest
from ase import Atoms

from helpers.grid import grid
from helpers.lammps_run import BAR, columns, output, run, script, write_data
from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact import save_artifact

SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
FIELD = [0.05, -0.08, 0.11]
GEOMETRIES = ("orthogonal", "triclinic", "slab", "isolated")
RANKS = (1, 2, 3, 4)
SELECTION = [  # every geometry and every number of ranks with every kind of model
    ("enthalpy", "orthogonal", 1),
    ("enthalpy", "triclinic", 2),
    ("enthalpy", "slab", 3),
    ("enthalpy", "isolated", 4),
    ("separate", "orthogonal", 3),
    ("separate", "triclinic", 4),
    ("separate", "slab", 1),
    ("separate", "isolated", 2),
]
STEPS = 8

ENTHALPY = (
    "pair_style tnep\npair_coeff * * e.pt Si O\nfix F all tnep/field 0.05 -0.08 0.11\n"
    "compute m all tnep/dipole e.pt Si O\ncompute a all tnep/polarizability e.pt Si O\n"
    "compute z all tnep/born/atom e.pt Si O\ncompute j all tnep/current e.pt Si O\n"
    "compute r all tnep/raman/atom e.pt Si O\n"
)
SEPARATE = (
    "pair_style tnep\npair_coeff * * u.pt Si O\n"
    "fix F all tnep/field 0.05 -0.08 0.11 dipole mu.pt Si O polarizability alpha.pt Si O\n"
    "compute m all tnep/dipole mu.pt Si O\ncompute a all tnep/polarizability alpha.pt Si O\n"
    "compute z all tnep/born/atom mu.pt Si O\ncompute j all tnep/current mu.pt Si O\n"
    "compute r all tnep/raman/atom alpha.pt Si O\n"
)
INPUTS = {"enthalpy": ENTHALPY, "separate": SEPARATE}
COMMON = "compute e all pe/atom\ncompute p all pressure NULL virial\ncomm_modify cutoff 6.5\nneighbor 1.0 bin\nneigh_modify every 2 delay 0 check no\n"
THERMO = "pe f_F " + " ".join(
    [f"f_F[{k}]" for k in range(1, 7)]
    + [f"c_{name}[{k}]" for name, n in (("m", 3), ("j", 3), ("a", 6), ("p", 6)) for k in range(1, n + 1)]
)


def structure(geometry):
    """Return atoms and LAMMPS' boundary; the isolated cluster is in a corner, so that some ranks are empty."""
    atoms = silica()
    if geometry == "triclinic":
        atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
        return atoms, "p p p"
    scaled = atoms.get_scaled_positions()
    atoms = Atoms(atoms.symbols, scaled_positions=scaled, cell=[5.2, 4.8, 5.6], pbc=True)
    if geometry == "orthogonal":
        return atoms, "p p p"
    if geometry == "slab":
        atoms.set_cell([5.2, 4.8, 22.0])
        atoms.positions[:, 2] += 5
        atoms.pbc = (True, True, False)
        return atoms, "p p f"
    atoms.set_cell([24.0, 24.0, 24.0])
    atoms.positions += 9.6 - 0.5 * STEPS / 10  # crosses the planes between ranks at 12
    atoms.pbc = False
    return atoms, "f f f"


CASES = itertools.product(INPUTS, GEOMETRIES, RANKS)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "geometry", "ranks"), grid(CASES, SELECTION))
def test_all_outputs(tmp_path, kind, geometry, ranks):
    """All atoms drift through the boundaries; half of the steps are run after a restart."""
    atoms, boundary = structure(geometry)
    if kind == "enthalpy":
        save_artifact(random_enthalpy(), tmp_path / "e.pt")
        calculator = TNEPCalculator(enthalpy=str(tmp_path / "e.pt"), efield=FIELD)
    else:
        for role, name, unit in (
            ("potential", "u", None),
            ("dipole", "mu", "e*A"),
            ("polarizability", "alpha", "e*A^2/V"),
        ):
            model = random_nep(role, species=("Si", "O"), cutoffs=(4.0, 3.5))
            export_artifact(model, tmp_path / f"{name}.pt", unit=unit)
        calculator = TNEPCalculator(
            energy=str(tmp_path / "u.pt"),
            dipole=str(tmp_path / "mu.pt"),
            susceptibility=str(tmp_path / "alpha.pt"),
            efield=FIELD,
        )
    write_data(tmp_path / "data.txt", atoms, [1 if s == "Si" else 2 for s in atoms.symbols])
    dynamics = f"fix 1 all nve\ntimestep 0.001\nrun {STEPS // 2}\n"
    first = "velocity all create 300 4928 loop geom\nvelocity all set 300 250 220 sum yes\n"
    again = INPUTS[kind] + COMMON + "fix 1 all nve\ntimestep 0.001\n"
    body = INPUTS[kind] + COMMON + first + dynamics + "write_restart r.rst\nclear\nread_restart r.rst\n" + again
    quantities = "x y z vx vy vz fx fy fz c_e c_z[*] c_r[*]"
    body += output(THERMO, quantities).replace("run 0", f"run {STEPS - STEPS // 2}")
    result = run(tmp_path, script(body, boundary=boundary), ranks)
    atoms.positions, velocities = result.atoms[:, 1:4], result.atoms[:, 4:7]
    atoms.calc = calculator
    check(result, atoms, velocities, kind == "enthalpy")


def check(result, atoms, velocities, in_field):
    """Compare; derivatives of the dipole are those in the field if the pair style evaluates them."""

    def close(found, expected):
        scale = np.abs(expected).max()
        assert scale > 1e-6 and np.abs(found - expected).max() < 1e-10 * scale

    def value(name):
        return atoms.calc.get_property(name, atoms)

    close(result.atoms[:, 7:10], atoms.get_forces())
    close(result.thermo["PotEng"], atoms.get_potential_energy())
    close(result.atoms[:, 10].sum(), atoms.get_potential_energy())
    if atoms.pbc.all() and in_field:  # the calculator has no stress of separate models in a field
        pressure = -atoms.get_stress(voigt=False) * BAR
        close(columns(result, "c_p", range(1, 7)), np.array([pressure[i] for i in SIX]))
    dipole, alpha = value("dipole"), value("polarizability")
    induced = alpha @ FIELD
    close(columns(result, "f_F", (1, 2, 3)), dipole)
    close(columns(result, "f_F", (4, 5, 6)), induced)
    close(columns(result, "c_m", (1, 2, 3)), dipole if in_field else dipole - induced)
    close(columns(result, "c_a", range(1, 7)), np.array([alpha[i] for i in SIX]))
    if not in_field:
        atoms.calc.efield = None
    born, raman = value("born_effective_charges"), value("polarizability_gradient")
    close(result.atoms[:, 11:20], born.reshape(-1, 9))
    close(result.atoms[:, 20:38].reshape(-1, 3, 6), np.array([raman[:, :, i, j] for i, j in SIX]).transpose(1, 2, 0))
    close(columns(result, "c_j", (1, 2, 3)), np.einsum("nab,nb->a", born, velocities))

import numpy as np
import pytest
import torch
from ase import Atoms

from helpers.oracle import PUBLISHED_KINDS, index, load, names
from helpers.paths import shared_data
from helpers.random_nep import random_nep
from tnep_calc.errors import InputError
from tnep_calc.models.nep.model import NEP
from tnep_calc.neighbors import NeighborList


def evaluate(model, species, atoms, quantities, cutoff, field=None):
    edges = NeighborList(cutoff).edges(atoms.positions, atoms.cell.array, atoms.pbc)
    index = torch.tensor([species.index(s) for s in atoms.symbols])
    out = model(
        index,
        torch.arange(len(atoms)),
        torch.from_numpy(edges.offsets),
        torch.from_numpy(edges.neighbors),
        torch.from_numpy(edges.vectors),
        quantities,
        field,
    )
    return {k: v.numpy() for k, v in out.items()}


def close(ours, theirs, rtol, what, mask=None, floor=1.0):
    error = np.abs(ours - theirs) * (1.0 if mask is None else mask)
    assert error.max(initial=0) <= rtol * max(np.abs(theirs).max(initial=0), floor), what


def test_the_index_is_covered():
    assert set(PUBLISHED_KINDS) == set(index(shared_data("tnep/oracle")))


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_oracle(name):
    """Outputs agree with calorine's C++ code to round-off; gradients that it lacks, with finite differences."""
    p, structures = load(name, 260)
    model = NEP(p)
    for get in structures:
        atoms = Atoms(get["numbers"], positions=get["positions"], cell=get["cell"], pbc=True)
        out = evaluate(model, p.species, atoms, _wanted(p.kind, get), p.cutoff)
        if "descriptors" in get:
            close(out["descriptors"][: len(get["descriptors"])], get["descriptors"], 1e-11, "descriptors")
        if p.kind == "potential":
            close(out["energy"], get["energy"], 1e-11, "energy")
            close(out["forces"], get["forces"], 1e-11, "forces")
            virial = get.get("virial_total")
            if virial is None:
                s = get["stress"]
                virial = -atoms.get_volume() * np.array([[s[0], s[5], s[4]], [s[5], s[1], s[3]], [s[4], s[3], s[2]]])
            close(out["virial"], virial, 1e-11, "virial")
            if "energies" in get:
                close(out["energies"], get["energies"], 1e-11, "energies")
            if "virials_neighbor_attribution" in get:
                close(out["virials"].reshape(-1, 9), get["virials_neighbor_attribution"], 1e-11, "virials")
        elif p.kind == "dipole":
            close(out["dipole"], get["dipole"], 1e-11, "dipole")
            if "dipole_gradient_q0" in get:
                ok = get["dipole_gradient_fd_err"] < 1e-6
                close(out["born_charges"].transpose(0, 2, 1), get["dipole_gradient_q0"], 1e-6, "Born charges", ok)
        else:
            close(out["polarizability"], get["polarizability"], 1e-11, "polarizability")
            if "polarizability_gradient" in get:
                ok = (get["polarizability_gradient_fd_err"] < 1e-6)[..., None, None]
                close(out["polarizability_gradient"], get["polarizability_gradient"], 1e-6, "Raman derivative", ok)


def _wanted(kind, get):
    if kind == "potential":
        return ["energies", "forces", "virial", "virials", "descriptors"]
    gradient = {"dipole": "born_charges", "polarizability": "polarizability_gradient"}[kind]
    given = {"dipole": "dipole_gradient_q0", "polarizability": "polarizability_gradient"}[kind]
    return [kind, "descriptors"] + ([gradient] if given in get else [])


def cell(seed=0, n=5, size=4.2):
    rng = np.random.default_rng(seed)
    box = size * np.eye(3) + rng.normal(0, 0.4, (3, 3))
    return Atoms("BN" * (n // 2) + "B" * (n % 2), scaled_positions=rng.random((n, 3)), cell=box, pbc=True)


@pytest.mark.parametrize("version", (3, 4, 5))
def test_forces_and_virial_are_derivatives_of_the_energy(version):
    p = random_nep(version=version, zbl=True, extra=(True,) * 6)
    model, atoms, h = NEP(p), cell(), 1e-5
    out = evaluate(model, p.species, atoms, ["forces", "virial", "virials"], p.cutoff)

    def energy(a):
        return evaluate(model, p.species, a, ["energy"], p.cutoff)["energy"]

    for i in range(len(atoms)):
        for a in range(3):
            plus, minus = atoms.copy(), atoms.copy()
            plus.positions[i, a] += h
            minus.positions[i, a] -= h
            assert -(energy(plus) - energy(minus)) / (2 * h) == pytest.approx(out["forces"][i, a], abs=2e-5, rel=1e-6)
    for a in range(3):
        for b in range(3):
            strain = np.zeros((3, 3))
            strain[a, b] = h
            plus, minus = atoms.copy(), atoms.copy()
            plus.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            minus.set_cell(atoms.cell.array @ (np.eye(3) - strain), scale_atoms=True)
            numeric = -(energy(plus) - energy(minus)) / (2 * h)
            assert numeric == pytest.approx(out["virial"][a, b], abs=5e-5, rel=1e-6)
    assert np.allclose(out["virials"].sum(0), out["virial"], atol=1e-10)
    assert np.allclose(out["forces"].sum(0), 0, atol=1e-10)


@pytest.mark.parametrize("kind", ("dipole", "polarizability"))
def test_response_derivatives(kind):
    p = random_nep(kind, extra=(True, True, True, True, True, True))
    model, atoms, h = NEP(p), cell(), 1e-5
    gradient = {"dipole": "born_charges", "polarizability": "polarizability_gradient"}[kind]
    wanted = [kind, gradient, "field_forces", "field_virials"]
    field = torch.tensor([0.3, -0.2, 0.7], dtype=torch.float64)
    out = evaluate(model, p.species, atoms, wanted, p.cutoff, field)
    for i in range(len(atoms)):
        for c in range(3):
            plus, minus = atoms.copy(), atoms.copy()
            plus.positions[i, c] += h
            minus.positions[i, c] -= h
            step = [evaluate(model, p.species, x, [kind], p.cutoff)[kind] for x in (plus, minus)]
            ours = out[gradient][i, :, c] if kind == "dipole" else out[gradient][i, c]
            assert np.allclose((step[0] - step[1]) / (2 * h), ours, rtol=1e-5, atol=2e-4)
    assert np.allclose(out[gradient].sum(0), 0, atol=1e-9)
    if kind == "dipole":
        assert np.allclose(out["field_forces"], np.einsum("a,iac->ic", field, out["born_charges"]), atol=1e-10)
        assert np.allclose(out["dipoles"].sum(0), out["dipole"])
    else:
        assert np.allclose(out["polarizabilities"].sum(0), out["polarizability"])
        half = 0.5 * np.einsum("i,acij,j->ac", field, out["polarizability_gradient"], field)
        assert np.allclose(out["field_forces"], half, atol=1e-10)
    virial, e = out["field_virials"].sum(0), field.numpy()
    for a, b in ((0, 0), (1, 2), (2, 1)):
        values = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            response = evaluate(model, p.species, strained, [kind], p.cutoff)[kind]
            values.append(e @ response if kind == "dipole" else 0.5 * e @ response @ e)
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(virial[a, b], rel=1e-5, abs=2e-4)


@pytest.mark.parametrize("seed", (1, 2))
def test_rotation_reflection_permutation_and_supercell(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q[0] *= -np.sign(np.linalg.det(q)) if seed == 1 else np.sign(np.linalg.det(q))  # improper, then proper
    order = rng.permutation(5)
    atoms = cell(seed)
    turned = atoms[order]
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions[order] @ q.T
    double = atoms.repeat((2, 1, 1))
    for kind, wanted in (
        ("potential", ["forces", "virial", "energy"]),
        ("dipole", ["dipole", "born_charges"]),
        ("polarizability", ["polarizability", "polarizability_gradient"]),
    ):
        p = random_nep(kind, extra=(True,) * 6, seed=seed)
        model = NEP(p)
        a = evaluate(model, p.species, atoms, wanted, p.cutoff)
        b = evaluate(model, p.species, turned, wanted, p.cutoff)
        d = evaluate(model, p.species, double, wanted, p.cutoff)
        if kind == "potential":
            assert np.allclose(b["energy"], a["energy"], rtol=1e-11)
            assert np.allclose(b["forces"], a["forces"][order] @ q.T, atol=1e-10)
            assert np.allclose(b["virial"], q @ a["virial"] @ q.T, atol=1e-10)
            assert np.allclose(d["energy"], 2 * a["energy"], rtol=1e-11)
        elif kind == "dipole":
            assert np.allclose(b["dipole"], q @ a["dipole"], atol=1e-9)
            ref = np.einsum("ab,ibc,dc->iad", q, a["born_charges"][order], q)
            assert np.allclose(b["born_charges"], ref, atol=1e-9)
            assert np.allclose(d["dipole"], 2 * a["dipole"], atol=1e-9)
        else:
            assert np.allclose(b["polarizability"], q @ a["polarizability"] @ q.T, atol=1e-9)
            ref = np.einsum("ex,ixab,ca,db->iecd", q, a["polarizability_gradient"][order], q, q)
            assert np.allclose(b["polarizability_gradient"], ref, atol=1e-9)
            assert np.allclose(d["polarizability_gradient"][:5], a["polarizability_gradient"], atol=1e-9)


def test_float32_is_close_to_float64():
    p = random_nep()
    atoms = cell()
    a = evaluate(NEP(p), p.species, atoms, ["forces"], p.cutoff)["forces"]
    b = evaluate(NEP(p, torch.float32), p.species, atoms, ["forces"], p.cutoff)["forces"]
    assert 0 < np.linalg.norm(a - b) / np.linalg.norm(a) < 1e-5


def test_atoms_without_neighbours():
    for kind, wanted in (
        ("potential", ["energies", "forces", "virial", "virials"]),
        ("dipole", ["dipole", "born_charges"]),
        ("polarizability", ["polarizability", "polarizability_gradient"]),
    ):
        p = random_nep(kind)
        one = evaluate(NEP(p), p.species, Atoms("B"), wanted, p.cutoff)
        two = evaluate(NEP(p), p.species, Atoms("BN", positions=[[0, 0, 0], [0, 0, 50]]), wanted, p.cutoff)
        assert all(np.isfinite(v).all() for v in (*one.values(), *two.values()))
        if kind == "potential":
            assert np.allclose(one["energies"], two["energies"][:1]) and np.allclose(two["forces"], 0)
        elif kind == "dipole":
            assert np.allclose(two["dipole"], 0)
        else:
            assert np.allclose(one["polarizability"], np.eye(3) * one["polarizability"][0, 0])


def test_units_and_wrong_requests():
    p = random_nep("dipole")
    a = evaluate(NEP(p), p.species, cell(), ["dipole"], p.cutoff)["dipole"]
    b = evaluate(NEP(p, unit="e*bohr"), p.species, cell(), ["dipole"], p.cutoff)["dipole"]
    assert np.allclose(b, 0.529177210903 * a)
    with pytest.raises(InputError, match=r"unit of a dipole model must be one of e\*A"):
        NEP(p, unit="A^3")
    with pytest.raises(ValueError, match="'forces' was asked for"):
        evaluate(NEP(p), p.species, cell(), ["forces"], p.cutoff)
    with pytest.raises(ValueError, match="needs a field"):
        evaluate(NEP(p), p.species, cell(), ["field_forces"], p.cutoff)
    with pytest.raises(ValueError, match="needs l_max >= 2"):
        NEP(random_nep(l_max=1))

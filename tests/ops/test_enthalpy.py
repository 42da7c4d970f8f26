"""The native operator of enthalpy models: against plain torch, finite differences, and wrong input."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers.enthalpy_operators import FIELD, TOLERANCE, close, edges, model
from helpers.random_enthalpy import silica
from tnep_calc import ops
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.model import QUANTITIES
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape
from tnep_calc.ops.enthalpy_packing import pack_enthalpy

if not ops.load():
    pytest.skip(f"native kernels: {ops.status().detail}", allow_module_level=True)
enthalpy = torch.ops.tnep.enthalpy


# ---------------------------------------------------------------- parity with the plain torch model


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [(10, 16, 128), (5, 4, 8), (1, 1, 1), (7, 19, 33), (12, 32, 20)])
def test_equals_plain_torch(sizes, dtype):
    m, inputs = model(*sizes, dtype=dtype), edges(silica())
    local = torch.randn(len(inputs[1]), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for field in (None, FIELD, local):
        names = [name for name in QUANTITIES if field is not None or name != "field_forces"]
        found, expected = m(*inputs, names, field), m.plain(*inputs, names, field)
        assert list(found) == names
        site = expected["dipoles"].abs().sum()  # sums over centres nearly cancel
        for name in names:
            scale = float(site) if name == "dipole" else None
            close(found[name], expected[name], TOLERANCE[dtype], scale)


@pytest.mark.parametrize("field", [FIELD, None])
@pytest.mark.parametrize("sizes", [(5, 4, 8), (6, 19, 33)])
def test_every_quantity_can_be_requested_alone(sizes, field):
    m, inputs = model(*sizes), edges(silica())
    names = [name for name in QUANTITIES if field is not None or name != "field_forces"]
    everything = m(*inputs, names, field)
    asked = [[name] for name in names] + [["energies", "forces", "dipoles"], ["born_charges", "virial"]]
    for some in asked:  # quantities that are not requested may be absent, and must not be needed
        out = m(*inputs, some, field)
        assert list(out) == some
        for name in some:
            scale = float(everything["dipoles"].abs().sum()) if name == "dipole" else None
            close(out[name], everything[name], 1e-13, scale)


def test_only_requested_quantities_are_returned():
    m, inputs = model(), edges(silica())
    n = len(inputs[1])
    for field in (None, FIELD):
        for order in (0, 1, 2):
            sizes = [len(t) for t in enthalpy(m.header, m.params, m.constants, *inputs, field, [0], False, order)[:3]]
            assert sizes == [n, n * (order > 0), n * (order > 1)]


def test_scripted_module_uses_the_native_path_and_falls_back():
    scripted = torch.jit.script(model())
    inputs = edges(silica())
    graph = str(scripted.graph)
    assert "tnep::enthalpy" in graph and "tnep::nep_available" in graph
    assert not scripted(*inputs, ["forces"], None)["forces"].requires_grad
    with pytest.raises(torch.jit.Error, match="an enthalpy model gives .* 'born' was asked for"):
        scripted(*inputs, ["born"], None)
    with pytest.raises(torch.jit.Error, match="field_forces needs a field"):
        scripted(*inputs, ["field_forces"], None)


def test_blocks_of_centres_do_not_depend_on_their_size():
    m, atoms = model(10, 16, 32), silica()
    one = m(*edges(atoms), ["energies", "born_charges", "polarizabilities"], FIELD)
    many = m(*edges(atoms.repeat((4, 3, 2))), ["energies", "born_charges", "polarizabilities"], FIELD)
    for name, value in one.items():
        close(many[name], value.repeat(24, *[1] * (value.dim() - 1)), 1e-11)


def test_ghost_atoms_a_subset_of_centers_and_an_absent_species():
    m = model(n_species=3)
    species, centers, offsets, neighbors, vectors = edges(silica())
    names = [name for name in QUANTITIES if name not in ("energies", "dipoles", "polarizabilities")]
    parts = []
    for chosen in (torch.arange(0, len(species), 2), torch.arange(1, len(species), 2)):
        pick = torch.cat([torch.arange(int(offsets[c]), int(offsets[c + 1])) for c in chosen])
        counts = (offsets[1:] - offsets[:-1])[chosen]
        start = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        parts.append(m(species, chosen, start, neighbors[pick], vectors[pick], names, FIELD))
    whole = m(species, centers, offsets, neighbors, vectors, names, FIELD)
    for name in names:
        close(parts[0][name] + parts[1][name], whole[name], 1e-12, scale=float(parts[0][name].abs().max()))


# ---------------------------------------------------------------- derivatives


def test_derivatives_of_the_enthalpy_at_a_field():
    m, atoms, h = model(), silica(), 1e-5
    out = m(*edges(atoms), list(QUANTITIES), FIELD)

    def difference(name, plus, minus, field=(FIELD, FIELD)):
        return (m(*edges(plus), [name], field[0])[name] - m(*edges(minus), [name], field[1])[name]) / (2 * h)

    for atom, axis in ((0, 0), (4, 1), (8, 2)):
        plus, minus = atoms.copy(), atoms.copy()
        plus.positions[atom, axis] += h
        minus.positions[atom, axis] -= h
        close(-difference("energy", plus, minus), out["forces"][atom, axis], 1e-6, scale=10.0)
        close(difference("dipole", plus, minus), out["born_charges"][atom, :, axis], 1e-6, scale=10.0)
        close(difference("polarizability", plus, minus), out["polarizability_gradient"][atom, axis], 1e-6, scale=10.0)
    for a, b in ((0, 0), (0, 2), (2, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = h
        plus, minus = atoms.copy(), atoms.copy()
        plus.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        minus.set_cell(atoms.cell.array @ (np.eye(3) - strain), scale_atoms=True)
        close(-difference("energy", plus, minus), out["virial"][a, b], 1e-6, scale=30.0)
        close(difference("dipole", plus, minus), out["piezoelectric"][:, a, b], 1e-6, scale=30.0)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = h
        fields = (FIELD + step, FIELD - step)
        close(-difference("energy", atoms, atoms, fields), out["dipole"][axis], 1e-6, scale=10.0)
        close(difference("dipole", atoms, atoms, fields), out["polarizability"][axis], 1e-6, scale=10.0)
    close(out["virials"].sum(0), out["virial"], 1e-12)
    close(out["born_charges"].sum(0), torch.zeros(3, 3, dtype=torch.float64), 1e-12, scale=10.0)


# ---------------------------------------------------------------- shapes, threads, instruction sets


def test_empty_single_and_coincident_atoms():
    m = model()
    none, no_edges = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.int64)
    for n in (0, 1, 3):
        inputs = (zero.repeat(n), torch.arange(n), zero.repeat(n + 1), none, no_edges)
        out = m(*inputs, list(QUANTITIES), FIELD)
        assert all(bool(torch.isfinite(t).all()) for t in out.values())
        if n == 3:
            close(out["energies"], m.plain(*inputs, ["energies"], FIELD)["energies"], 1e-13)
    m(zero.repeat(2), none, zero, none, no_edges, list(QUANTITIES), FIELD)  # atoms but no centres
    inputs = (torch.tensor([0, 1]), zero, torch.tensor([0, 1]), torch.tensor([1]), torch.zeros(1, 3).double())
    assert all(bool(torch.isfinite(t).all()) for t in m(*inputs, list(QUANTITIES), FIELD).values())


@pytest.mark.slow
def test_opcheck_layout_and_repeatability():
    m, inputs = model(), edges(silica())
    spread = tuple(torch.stack([t, t + 1], dim=-1)[..., 0] for t in inputs)
    assert not spread[4].is_contiguous()
    constant = (m.header, m.params, m.constants)
    for seeds, field, order in (([], None, 2), ([0, 1, 2, 3, 4], FIELD, 2), ([0, 2], None, 0), ([0], None, 1)):
        rest = (field, seeds, bool(seeds), order)
        torch.library.opcheck(enthalpy, (*constant, *inputs, *rest), test_utils=("test_schema", "test_faketensor"))
        first, again = enthalpy(*constant, *inputs, *rest), enthalpy(*constant, *inputs, *rest)
        other = enthalpy(*constant, *spread, *rest)
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, again, other, strict=True))


def test_threads_do_not_change_the_result():
    m, inputs = model(), edges(silica(repeat=(3, 2, 1)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = m(*inputs, list(QUANTITIES), FIELD)
        torch.set_num_threads(3)
        three, again = m(*inputs, list(QUANTITIES), FIELD), m(*inputs, list(QUANTITIES), FIELD)
    finally:
        torch.set_num_threads(before)
    for name, value in one.items():
        close(three[name], value, 1e-12, scale=max(1.0, float(value.abs().max())))
        assert torch.equal(three[name], again[name])


_SCRIPT = """
import sys
sys.path[:0] = {path!r}
import torch
from helpers import enthalpy_operators as t
from helpers.random_enthalpy import silica
from tnep_calc import ops
from tnep_calc.models.enthalpy.model import QUANTITIES
for dtype in t.TOLERANCE:
    m, inputs = t.model(7, 19, 33, dtype=dtype), t.edges(silica())
    expected, found = (f(*inputs, list(QUANTITIES), t.FIELD) for f in (m.plain, m))
    for name in QUANTITIES:
        scale = float(expected["dipoles"].abs().sum()) if name == "dipole" else None
        t.close(found[name], expected[name], t.TOLERANCE[dtype], scale)
print(ops.status().detail)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generic", "avx2"])
def test_instruction_sets(name):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TNEP_SIMD": name}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(path=sys.path)], env=env, capture_output=True, text=True
    )
    if "TNEP_SIMD must name" in done.stderr:
        pytest.skip(f"this processor lacks {name}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name]


@pytest.mark.slow
def test_without_the_library_plain_torch_runs():
    script = (
        "import sys; sys.path[:0] = " + repr(sys.path) + "\n"
        "import torch\nfrom tnep_calc.ops.enthalpy import NativeEnthalpy\n"
        "from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape\n"
        "m = torch.jit.script(NativeEnthalpy([EnthalpySites(SiteShape(1, 2, 1, 1))], ('Si',), 3.0, 2))\n"
        "i = torch.zeros(2, dtype=torch.int64)\n"
        "out = m(i, torch.arange(2), torch.tensor([0, 1, 1]), i[:1] + 1, torch.ones(1, 3).double(), ['forces'], None)\n"
        "print(out['forces'].shape)\n"
    )
    env = {**os.environ, ops.LIBRARY_VARIABLE: "/nonexistent/libtnep_ops.so"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([2, 3])" in done.stdout


# ---------------------------------------------------------------- wrong input


def test_models_packed_before_means_existed():
    m = model()
    rest = (m.params, m.constants, *edges(silica()), FIELD, [0], False)
    now = enthalpy(m.header, *rest)
    before = enthalpy(torch.cat([torch.tensor([1]), m.header[1:6]]), *rest)
    assert all(torch.equal(a, b) for a, b in zip(now, before, strict=True))


def test_wrong_input_is_refused_with_the_received_value():
    m = model()
    species, centers, offsets, neighbors, vectors = edges(silica())
    good = [m.header, m.params, m.constants, species, centers, offsets, neighbors, vectors, FIELD, [0], False]
    enthalpy(*good)
    wrong = [
        (0, m.header[:6], "the header must have 7 numbers, got 6"),
        (0, torch.cat([torch.tensor([1]), m.header[1:]]), "the header must have 6 numbers, got 7"),
        (0, m.header[:0], "layout version 0"),
        (0, torch.cat([torch.tensor([99]), m.header[1:]]), "layout version 99"),
        (0, m.header * torch.tensor([1, 1, 10, 1, 1, 1, 1]), "header field 2 is out of range: 50"),
        (1, m.params.half(), "params must be .* got Half"),
        (1, m.params[:-16], "the header asks for"),
        (2, m.constants[:-1], r"constants must have 1 \+ 2 n_species = 5 numbers, got 4"),
        (2, -m.constants.abs(), "the cutoff, the first of the constants, must be positive, got -4.5"),
        (2, m.constants.float(), "constants must be a float64 tensor .* got Float"),
        (3, species + 1, "species must be from 0 to number of species of the model - 1 = 1, got .* to 2"),
        (3, species.int(), "species must be a 1-dimensional int64 tensor on the CPU, got Int"),
        (4, centers + 1, "centers must be from 0"),
        (5, offsets[:-1], "offsets must have one number more"),
        (5, offsets + 1, "offsets must rise from 0"),
        (6, neighbors - 1, "neighbors must be from 0"),
        (6, neighbors[:-1], "must be equally long"),
        (7, vectors.float(), "vectors must be a float64 tensor of shape .* got Float"),
        (7, vectors[:, :2], "vectors must be a float64 tensor"),
        (8, FIELD[:2], r"field must be .* of shape \(3,\) or \(n_centers, 3\)"),
        (8, FIELD.expand(5, 3), r"field must be .* of shape \[5, 3\]"),
        (9, [11], "seeds must be from 0 to 10, got 11"),
    ]
    for position, value, message in wrong:
        args = list(good)
        args[position] = value
        with pytest.raises(RuntimeError, match=message):
            enthalpy(*args)
    with pytest.raises(RuntimeError, match="atom_virials needs the enthalpy"):
        enthalpy(*good[:9], [1, 0], True)
    with pytest.raises(RuntimeError, match="order must be 0, 1 or 2, got 3"):
        enthalpy(*good, 3)


def test_models_beyond_the_kernels_are_refused():
    with pytest.raises(InputError, match="at most 32 radial functions, got 33"):
        pack_enthalpy([EnthalpySites(SiteShape(1, 33, 1, 1))], ("Si",))

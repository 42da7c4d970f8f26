"""Native operators against the oracle files, the plain torch reference, finite differences, and wrong input."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers.nep_operators import (
    REFERENCE_QUANTITIES,
    close,
    edges,
    flat,
    model,
    native,
    random_model,
    random_structure,
)
from helpers.oracle import load, names
from tnep_calc import ops
from tnep_calc.errors import InputError
from tnep_calc.models.nep.model import NEP
from tnep_calc.ops.nep_packing import pack

TOLERANCE = {torch.float64: 2e-10, torch.float32: 3e-5}
FORCE_RMS = {torch.float64: 1e-11, torch.float32: 1e-5}
DTYPES = list(TOLERANCE)

if not ops.load():
    pytest.skip(f"native kernels: {ops.status().detail}", allow_module_level=True)
nep = torch.ops.tnep


# ---------------------------------------------------------------- oracle: calorine, float64


@functools.cache
def oracle(name):
    parameters, structures = load(name, 200)
    return parameters, [
        (values, edges(parameters, values["numbers"], values["positions"], values["cell"])) for values in structures
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", names("potential", "dipole", "polarizability"))
def test_site_values_equal_calorine(name, dtype):
    parameters, structures = oracle(name)
    packed, tolerance = model(parameters, dtype), TOLERANCE[dtype]
    for values, inputs in structures:
        q = nep.nep_descriptors(*packed, *inputs, parameters.dim)
        close(q[: len(values["descriptors"])], values["descriptors"], tolerance)
        n = len(values["numbers"])
        if parameters.kind == "potential":
            energies, forces, virial, virials = nep.nep_energy(*packed, *inputs, True, True)
            close(energies.sum(), values["energy"], 10 * tolerance, scale=max(1.0, abs(values["energy"])))
            pull = max(np.abs(values["forces"]).max(), 0.1)
            close(forces, values["forces"], 10 * tolerance, scale=pull)
            rms = float(torch.sqrt(((forces - torch.tensor(values["forces"])) ** 2).mean()))
            assert rms <= FORCE_RMS[dtype] * max(np.sqrt((values["forces"] ** 2).mean()), 0.5)
            close(virials.sum(0), virial, tolerance, scale=n * pull)
            if "virial_total" in values:
                scale = max(np.abs(values["virial_total"]).max(), n * pull)
                close(virial, values["virial_total"], tolerance, scale)
            if "virials_neighbor_attribution" in values:
                close(virials.reshape(n, 9), values["virials_neighbor_attribution"], tolerance)
        elif parameters.kind == "dipole":
            dipoles = nep.nep_dipole(*packed, *inputs)
            close(dipoles.sum(0), values["dipole"], tolerance, scale=max(float(dipoles.abs().sum()), 1.0))
        else:
            close(nep.nep_polarizability(*packed, *inputs).sum(0), values["polarizability"], tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", names("dipole", "polarizability"))
def test_gradients_equal_calorine(name, dtype):
    parameters, structures = oracle(name)
    packed, tolerance = model(parameters, dtype), 2 * TOLERANCE[dtype]
    field = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    for values, inputs in structures:
        if "dipole_gradient_q0" in values:
            born = nep.nep_dipole_gradient(*packed, *inputs)
            reference = torch.tensor(values["dipole_gradient_q0"]).transpose(1, 2)
            smooth = torch.tensor(values["dipole_gradient_fd_err"] < 1e-9).transpose(1, 2)
            close(born[smooth], reference[smooth], tolerance)
            forces, _ = nep.nep_field_response(*packed, *inputs, field)
            close(forces, torch.einsum("a,nab->nb", field, born), TOLERANCE[dtype], scale=float(born.abs().max()))
        if "polarizability_gradient" in values:
            gradient = nep.nep_polarizability_gradient(*packed, *inputs)
            smooth = torch.tensor(values["polarizability_gradient_fd_err"] < 1e-9)
            reference = torch.tensor(values["polarizability_gradient"])
            close(gradient[smooth], reference[smooth], tolerance)


# ---------------------------------------------------------------- parity with the plain torch model


@pytest.mark.parametrize("kind", REFERENCE_QUANTITIES)
@pytest.mark.parametrize("l_max, version", [(1, 4), (2, 3), (3, 4), (4, 5), (5, 4), (6, 4), (7, 4), (8, 4)])
def test_equals_plain_torch(kind, l_max, version):
    p = random_model(kind, l_max, seed=l_max, version=version)
    inputs = edges(p, *random_structure(p), skin=0.7)  # edges beyond the cutoff included
    field = torch.tensor([0.1, 0.4, -0.3], dtype=torch.float64)
    if l_max % 2:  # a different field for each centre
        field = field * torch.linspace(0.5, 1.5, len(inputs[1]), dtype=torch.float64).unsqueeze(1)
    expected = NEP(p)(*inputs, REFERENCE_QUANTITIES[kind], field)
    found = native(kind, model(p), inputs, field, p.dim)
    for name in REFERENCE_QUANTITIES[kind]:
        close(found[name], expected[name], 1e-11)


def test_ghost_atoms_and_a_subset_of_centers():
    p = random_model("potential", 4)
    species, centers, offsets, neighbors, vectors = edges(p, *random_structure(p))
    n = len(species)
    parts = []
    for chosen in (torch.arange(0, n, 2), torch.arange(1, n, 2)):
        pick = torch.cat([torch.arange(int(offsets[c]), int(offsets[c + 1])) for c in chosen])
        counts = (offsets[1:] - offsets[:-1])[chosen]
        start = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        parts.append(nep.nep_energy(*model(p), species, chosen, start, neighbors[pick], vectors[pick], True, True))
    whole = nep.nep_energy(*model(p), species, centers, offsets, neighbors, vectors, True, True)
    close(parts[0][0], whole[0][::2], 1e-13)
    for k in (1, 2, 3):
        close(parts[0][k] + parts[1][k], whole[k], 1e-12)


# ---------------------------------------------------------------- derivatives and symmetry


def test_forces_are_minus_the_gradient_and_virial_is_the_strain_derivative():
    p = random_model("potential", 4)
    numbers, positions, cell = random_structure(p)

    def energy(x, c):
        return float(nep.nep_energy(*model(p), *edges(p, numbers, x, c), False, False)[0].sum())

    _, forces, virial, virials = nep.nep_energy(*model(p), *edges(p, numbers, positions, cell), True, False)
    assert virials.shape == (0, 3, 3)
    h = 1e-5
    for atom, axis in ((0, 0), (3, 1), (6, 2)):
        step = np.zeros_like(positions)
        step[atom, axis] = h
        slope = (energy(positions + step, cell) - energy(positions - step, cell)) / (2 * h)
        assert float(forces[atom, axis]) == pytest.approx(-slope, rel=1e-7, abs=1e-7)
    for a, b in ((0, 0), (0, 2), (2, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = h
        plus, minus = np.eye(3) + strain, np.eye(3) - strain
        slope = (energy(positions @ plus, cell @ plus) - energy(positions @ minus, cell @ minus)) / (2 * h)
        assert float(virial[a, b]) == pytest.approx(-slope, rel=1e-7, abs=1e-7)


def test_improper_rotation_and_permutation():
    p = random_model("dipole", 4)
    numbers, positions, cell = random_structure(p)
    q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    q *= -np.sign(np.linalg.det(q))  # improper
    order = np.random.default_rng(6).permutation(len(numbers))
    born = nep.nep_dipole_gradient(*model(p), *edges(p, numbers, positions, cell))
    moved = [numbers[i] for i in order], (positions @ q)[order], cell @ q
    turned = nep.nep_dipole_gradient(*model(p), *edges(p, *moved))
    turn = torch.tensor(q)
    close(turned, torch.einsum("nab,ac,bd->ncd", born[order], turn, turn), 1e-11)
    close(born.sum(0), torch.zeros(3, 3), 1e-11, scale=float(born.abs().max()))  # translation


def test_coincident_atoms_give_finite_numbers():
    p = random_model("potential", 4)
    species, centers = torch.tensor([0, 1]), torch.tensor([0])
    out = nep.nep_energy(
        *model(p),
        species,
        centers,
        torch.tensor([0, 1]),
        torch.tensor([1]),
        torch.zeros(1, 3, dtype=torch.float64),
        True,
        True,
    )
    assert all(bool(torch.isfinite(t).all()) for t in out)


# ---------------------------------------------------------------- shapes, memory, threads, instruction sets


def operator_calls(inputs, p):
    tail = {"potential": [("nep_energy", (True, True)), ("nep_energy", (False, False))]}
    tail["dipole"] = [("nep_dipole", ()), ("nep_dipole_gradient", ())]
    tail["dipole"] += [("nep_field_response", (torch.ones(3, dtype=torch.float64),))]
    tail["polarizability"] = [("nep_polarizability", ()), ("nep_polarizability_gradient", ())]
    tail["polarizability"] += [("nep_field_response", (torch.ones(3, dtype=torch.float64), True))]
    for name, rest in [*tail[p.kind], ("nep_descriptors", (p.dim,))]:
        yield getattr(nep, name), (*model(p), *inputs, *rest)


@pytest.mark.parametrize("kind", REFERENCE_QUANTITIES)
def test_empty_and_single(kind):
    p = random_model(kind, 4)
    none, no_edges = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.int64)
    for n in (0, 1, 3):
        inputs = (zero.repeat(n), torch.arange(n), zero.repeat(n + 1), none, no_edges)
        for operator, args in operator_calls(inputs, p):
            out = flat(operator(*args))
            assert all(bool(torch.isfinite(t).all()) for t in out)
            if n == 3:
                assert float((out[0] - out[0][:1]).abs().max()) == 0.0  # all isolated atoms have the same value
    # atoms but no centres
    for operator, args in operator_calls((zero.repeat(2), none, zero, none, no_edges), p):
        operator(*args)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFERENCE_QUANTITIES)
def test_opcheck_layout_and_repeatability(kind):
    p = random_model(kind, 3)
    inputs = edges(p, *random_structure(p))
    spread = tuple(torch.stack([t, t + 1], dim=-1)[..., 0] for t in inputs)
    assert not spread[4].is_contiguous()
    for (operator, args), (_, strided) in zip(operator_calls(inputs, p), operator_calls(spread, p), strict=True):
        torch.library.opcheck(operator, args, test_utils=("test_schema", "test_faketensor"))
        first, again, other = flat(operator(*args)), flat(operator(*args)), flat(operator(*strided))
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, again, other, strict=True))
        assert all(a.data_ptr() != b.data_ptr() for a, b in zip(first, again, strict=True) if a.numel())


def test_threads_do_not_change_the_result():
    p = random_model("potential", 4)
    numbers, positions, cell = random_structure(p, n=8)
    shifts = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(2)]) @ cell
    inputs = edges(p, list(numbers) * 8, (positions + shifts[:, None]).reshape(-1, 3), 2 * cell)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = nep.nep_energy(*model(p), *inputs, True, True)
        torch.set_num_threads(3)
        three = nep.nep_energy(*model(p), *inputs, True, True)
        again = nep.nep_energy(*model(p), *inputs, True, True)
    finally:
        torch.set_num_threads(before)
    for a, b, c in zip(one, three, again, strict=True):
        close(b, a, 1e-13)
        assert torch.equal(b, c)


_SCRIPT = """
import sys
sys.path[:0] = {path!r}
import torch
from helpers import nep_operators as t
rng = t.np.random.default_rng(0)  # a cluster, so that the number of neighbours differs from atom to atom
grid = t.np.array([(i, j, k) for i in range(4) for j in range(3) for k in range(2)])
cluster = ([[22, 8, 56][s] for s in rng.integers(0, 3, 24)], 2.3 * grid + rng.normal(scale=0.1, size=(24, 3)))
for kind in t.REFERENCE_QUANTITIES:
    p = t.random_model(kind, 4, n_species=3)
    for label, inputs in (("crystal", t.edges(p, *t.random_structure(p))),
                          ("cluster", t.edges(p, *cluster, 50 * t.np.eye(3), pbc=False))):
        out = t.native(kind, t.model(p), inputs, torch.ones(3, dtype=torch.float64), p.dim)
        for name in sorted(out):
            print(kind + label, name, *(repr(float(v)) for v in out[name].flatten()[:200]))
print("set", t.ops.status().detail)
"""


def _run(**environment):
    script = _SCRIPT.format(path=sys.path)
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.slow
def test_instruction_sets_agree():
    results = {}
    for name in ("generic", "avx2", "avx512"):
        code, lines, err = _run(TNEP_SIMD=name)
        if code and "TNEP_SIMD must name" in err:
            continue  # not on this processor
        assert code == 0, err
        assert lines[-1] == f"set {name}"
        results[name] = {tuple(line.split()[:2]): np.array(line.split()[2:], dtype=float) for line in lines[:-1]}
    for name, values in results.items():
        for key, reference in results["generic"].items():
            error = np.abs(values[key] - reference).max() / np.abs(reference).max()
            assert error < 1e-12, (name, key)


@pytest.mark.slow
def test_unknown_instruction_set_is_refused():
    code, _, err = _run(TNEP_SIMD="mmx")
    assert code != 0
    assert "TNEP_SIMD must name" in err and "'mmx'" in err


@pytest.mark.slow
def test_without_the_library_operators_are_declared():
    script = (
        "import sys; sys.path[:0] = " + repr(sys.path) + "\n"
        "import torch\nfrom tnep_calc import ops\n"
        "assert not ops.load() and not torch.ops.tnep.native_available(torch.zeros(1))\n"
        "code = 'def f(h, p, s, c, o, n, v):\\n    return torch.ops.tnep.nep_dipole(h, p, s, c, o, n, v)\\n'\n"
        "assert 'tnep::nep_dipole' in str(torch.jit.CompilationUnit(code).f.graph)\n"
        "print(ops.status().detail)\n"
    )
    env = {**os.environ, ops.LIBRARY_VARIABLE: "/nonexistent/libtnep_ops.so"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "/nonexistent/libtnep_ops.so, which does not exist" in done.stdout


def test_scripts_check_for_native_kernels_at_run_time():
    code = "def f(x):\n    return torch.ops.tnep.native_available(x)\n"
    unit = torch.jit.CompilationUnit(code)
    assert "tnep::native_available" in str(unit.f.graph)
    assert unit.f(torch.zeros(1)) is True
    assert unit.f(torch.zeros(1, device="meta")) is False


def test_library_of_another_torch_or_version_is_refused(tmp_path):
    other = tmp_path / "libtnep_ops.so"
    other.write_bytes(b"\x7fELF tnep built for torch 1.2.3\0")
    assert "was built for torch 1.2.3" in ops._mismatch(other)
    version = torch.__version__.split("+")[0].encode()
    other.write_bytes(b"tnep built for torch " + version + b"\0native_available(Tensor params) -> bool")
    assert "was built from another version" in ops._mismatch(other)
    assert ops._mismatch(ops.library_path()) is None


# ---------------------------------------------------------------- wrong input


def test_wrong_input_is_refused_with_the_received_value():
    p = random_model("potential", 4)
    header, params = model(p)
    species, centers, offsets, neighbors, vectors = edges(p, *random_structure(p))
    good = [header, params, species, centers, offsets, neighbors, vectors]
    wrong = [
        (1, params.half(), "params must be .* got Half"),
        (1, params[:-16], "the header asks for"),
        (0, header[:5], "the header must have 14 numbers, got 5"),
        (0, torch.cat([torch.tensor([99]), header[1:]]), "layout version 99"),
        (2, species + 2, "species must be from 0 to number of species of the model - 1 = 1, got .* to 3"),
        (2, species.int(), "species must be a 1-dimensional int64 tensor on the CPU, got Int"),
        (3, centers + 1, "centers must be from 0"),
        (4, offsets[:-1], "offsets must have one number more"),
        (4, offsets + 1, "offsets must rise from 0"),
        (5, neighbors - 1, "neighbors must be from 0"),
        (5, neighbors[:-1], "must be equally long"),
        (6, vectors.float(), "vectors must be a float64 tensor of shape .* got Float"),
        (6, vectors[:, :2], "vectors must be a float64 tensor"),
    ]
    for position, value, message in wrong:
        args = list(good)
        args[position] = value
        with pytest.raises(RuntimeError, match=message):
            nep.nep_energy(*args, True, False)
    with pytest.raises(RuntimeError, match="needs a dipole model, got a potential model"):
        nep.nep_dipole(*good)
    dipole = list(model(random_model("dipole", 4))) + good[2:]
    with pytest.raises(RuntimeError, match=r"field must be .* shape \(3,\)"):
        nep.nep_field_response(*dipole, torch.zeros(2, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="dim must be the descriptor length"):
        nep.nep_descriptors(*good, p.dim + 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFERENCE_QUANTITIES)
def test_profile_shares_add_up(kind):
    p = random_model(kind, 3)
    inputs = edges(p, *random_structure(p))
    torch.library.opcheck(nep.nep_profile, (*model(p), *inputs, 1), test_utils=("test_schema",))
    shares = nep.nep_profile(*model(p), *inputs, 20)
    assert shares.shape == (10,)
    if float(shares.sum()):  # there is a clock
        assert float(shares.sum()) == pytest.approx(1)
        assert bool((shares > 0).all())


def test_models_beyond_the_kernels_are_refused():
    with pytest.raises(InputError, match="l_max from 1 to 8"):
        pack(random_model("potential", 0, extra=(False,) * 6))
    with pytest.raises(InputError, match="123 block needs l_max >= 3, got 2"):
        pack(random_model("potential", 2, extra=(True, False, False, True, False, False)))

"""`device cuda` on simulated GPUs: models are on the CPU, but all data pass through the copies for a GPU."""

import re

import numpy as np
import pytest
import torch

from helpers.lammps_run import crystal, lmp_command, output, run, script, thermo_rows, types_of, write_data
from helpers.random_enthalpy import SPECIES, random_enthalpy, silica
from helpers.random_nep import random_nep
from helpers.random_radnet import SPECIES as RADNET_SPECIES
from helpers.random_radnet import random_sites
from tnep_calc import export_artifact
from tnep_calc.artifact import export_radnet, save_artifact

pytestmark = pytest.mark.slow

MOVING = "velocity all create 3000 1\nfix 1 all nve\ntimestep 0.002\nneighbor 0.3 bin\nneigh_modify every 1 delay 0\n"


@pytest.fixture(autouse=True)
def no_real_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("gpu")
    for kind in ("potential", "dipole", "polarizability"):
        export_artifact(random_nep(kind), where / f"{kind}.pt")
    export_radnet(random_sites(dtype=torch.float64), RADNET_SPECIES, where / "radnet.pt")
    write_data(where / "data.txt", crystal((2, 2, 1)), types_of(crystal((2, 2, 1))))
    (where / "silica").mkdir()
    save_artifact(random_enthalpy(), where / "silica" / "enthalpy.pt")
    atoms = silica()
    atoms.set_cell(np.tril(atoms.cell.array), scale_atoms=True)
    write_data(where / "silica" / "data.txt", atoms, [1 + SPECIES.index(s) for s in atoms.get_chemical_symbols()])
    return where


def simulate(monkeypatch, gpus):
    monkeypatch.setenv("TNEP_SIMULATED_GPUS", str(gpus))


def both(monkeypatch, folder, body, **options):
    """Run an input on the CPU and on a simulated GPU."""
    monkeypatch.delenv("TNEP_SIMULATED_GPUS", raising=False)
    on_cpu = run(folder, script(body.format(device="cpu")), **options)
    simulate(monkeypatch, 1)
    on_gpu = run(folder, script(body.format(device="cuda")), **options)
    assert "evaluations on a GPU" in on_gpu.text and "on a GPU" not in on_cpu.text
    return on_cpu, on_gpu


def agree(on_cpu, on_gpu, tolerance):
    assert len(on_cpu.atoms) > 1
    np.testing.assert_allclose(on_gpu.atoms, on_cpu.atoms, rtol=tolerance, atol=tolerance)
    for one, other in zip(thermo_rows(on_cpu.text), thermo_rows(on_gpu.text), strict=True):
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("ranks", [1, 2])
def test_dynamics_with_new_lists_computes_and_a_field(folder, monkeypatch, ranks):
    body = f"""pair_style tnep device {{device}}
pair_coeff * * potential.pt B N
compute mu all tnep/dipole dipole.pt B N
compute a all tnep/polarizability polarizability.pt B N
compute z all tnep/born/atom dipole.pt B N
variable e atom x*0.01
fix F all tnep/field 0.01 v_e 0.0 dipole dipole.pt B N
{MOVING}"""
    columns = "fx fy fz " + " ".join(f"c_z[{k}]" for k in range(1, 10))
    thermo = "pe pxx pxy f_F " + " ".join(f"c_mu[{k}]" for k in (1, 2, 3)) + " c_a[1] c_a[4]"
    text = body + "thermo 10\n" + output(thermo, columns).replace("run 0", "run 30")
    agree(*both(monkeypatch, folder, text, ranks=ranks), tolerance=1e-8)


@pytest.mark.parametrize("name", ["enthalpy in a varying field", "radnet"])
def test_models_that_need_edge_vectors(folder, monkeypatch, name):
    """Enthalpy and radnet models: vectors are computed from positions on the device, also beyond the cutoff."""
    if name == "radnet":
        body = """pair_style tnep device {device}
pair_coeff * * potential.pt B N
compute mu all tnep/dipole radnet.pt B N
compute z all tnep/born/atom radnet.pt B N
"""
        text = output("pe c_mu[1] c_mu[2] c_mu[3]", "fx c_z[1] c_z[5] c_z[6]")
    else:
        folder = folder / "silica"
        body = """pair_style tnep device {device}
pair_coeff * * enthalpy.pt Si O
variable e atom x*0.01
fix F all tnep/field 0.1 v_e 0.05
"""
        text = output("pe pxx pxy f_F")
    text = MOVING + "thermo 10\n" + text.replace("run 0", "run 30")
    agree(*both(monkeypatch, folder, body + text), tolerance=1e-8)


@pytest.mark.parametrize("unseen", [False, True])
def test_types_that_change_between_new_lists(folder, monkeypatch, unseen):
    body = """pair_style hybrid tnep device {device} lj/cut 3.0
pair_coeff * * tnep potential.pt B NULL
pair_coeff 1*2 2 lj/cut 0.01 2.0
"""
    if not unseen:
        body = "pair_style tnep device {device}\npair_coeff * * potential.pt B N\n"
    text = (body + MOVING + "thermo 1\n" + output("pe")).replace("run 0", "run 2")
    text += 'run 2 pre no every 1 "set atom 3 type 2"\nrun 2 pre no every 1 "set atom 3 type 1"\n'
    agree(*both(monkeypatch, folder, text), tolerance=1e-8)


def test_only_positions_are_copied_between_new_lists(folder, monkeypatch):
    """One copy in each direction a step; the list only when LAMMPS has built a new one."""
    simulate(monkeypatch, 1)
    atoms = crystal((2, 2, 1))
    body = f"pair_style tnep device cuda\npair_coeff * * potential.pt B N\n{MOVING}thermo 1\n"
    result = run(folder, script(body + output("pe").replace("run 0", "run 30")))
    found = re.search(
        r"(\d+) evaluations on a GPU, (\d+) with a new neighbour list; rank 0 sent (\d+) copies of (\d+) bytes and "
        r"received (\d+) of (\d+)",
        result.text,
    )
    steps, lists, sent, bytes_sent, received, bytes_received = map(int, found.groups())
    builds = int(re.search(r"Neighbor list builds = (\d+)", result.text)[1])
    assert 0 < builds < 25
    assert (steps, lists, sent, received) == (31, builds + 1, 31 + builds + 1, 31)
    ghosts = int(re.search(r"Nghost: *(\d+)", result.text)[1])
    entries = int(re.search(r"FullNghs: *(\d+)", result.text)[1])
    # positions every step; species where the number of atoms changes; energies, forces and virial back
    per_step, per_list = 24 * (len(atoms) + ghosts), 4 * entries + 16 * len(atoms) + 8 * (len(atoms) + ghosts)
    assert bytes_sent == pytest.approx(per_step * steps + per_list * lists, rel=0.05)
    assert bytes_received <= 8 * (len(atoms) + 3 * (len(atoms) + ghosts) * 1.1 + 10) * steps


@pytest.mark.parametrize(
    ("ranks", "gpus", "masked", "placed", "said"),
    [
        (4, 2, None, "0 1 0 1", "up to 2 ranks share a GPU"),
        (2, 2, None, "0 1", None),
        (2, 4, None, "0 1", "2 GPU(s) of a node are idle"),
        (3, 2, "0,1", "0 1 0", "up to 2 ranks share a GPU"),
        (2, 1, "0", "0 0", None),  # each rank may see a GPU of its own
    ],
)
def test_ranks_are_distributed(folder, monkeypatch, ranks, gpus, masked, placed, said):
    simulate(monkeypatch, gpus)
    if masked is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", masked)
    body = "pair_style tnep device auto\npair_coeff * * potential.pt B N\ncompute mu all tnep/dipole dipole.pt B N\n"
    text = run(folder, script(body + "run 0\n"), ranks=ranks).text
    assert re.findall(r"GPUs of the ranks: (.*)", text) == [placed]  # said once for all models
    found = [line for line in text.splitlines() if "share a GPU" in line or "are idle" in line]
    assert len(found) == (said is not None) and all(said in line for line in found)


@pytest.mark.parametrize("launcher", [True, False])
def test_partitions_use_different_gpus(folder, monkeypatch, launcher):
    """Four partitions of one rank; without variables of the launcher, by their rank among all."""
    simulate(monkeypatch, 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    clear = [] if launcher else ["env", "-u", "MPI_LOCALRANKID", "-u", "MPI_LOCALNRANKS"]
    command = lmp_command(4)
    place = command.index("-n") + 2
    command = [*command[:place], *clear, *command[place:], "-partition", "4x1", "-plog", "part"]
    body = "pair_style tnep device cuda\npair_coeff * * potential.pt B N\n"
    run(folder, script(body + "run 0\n"), command=command)
    logs = [(folder / f"part.{k}").read_text() for k in range(4)]
    assert [re.search(r"GPUs of the ranks: (.*)", log)[1] for log in logs] == ["0", "1", "2", "0"]
    assert all(("up to 2 ranks share a GPU" in log) == launcher for log in logs)

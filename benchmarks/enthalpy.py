"""Electric-enthalpy models on one CPU thread: time per atom compared with allegro-pol, memory, training, accuracy.

Run ``python benchmarks/enthalpy.py [--json FILE] [--cases WORD ...] [--model DIR ...]``.  Distorted quartz replaces the
published frames if they are absent.  Parts (words for ``--cases``):

memory    per atom, at 4,608 atoms.
cost      SiO2, 576 and 4,608 atoms, 104 neighbours: native kernels with and without the neighbour search, the mean of
          four models as one, and (576) the scripted plain-torch path.  They are compared with allegro-pol with the
          hyper-parameters of the paper.  It is timed if it is installed; else its recorded times are used, scaled by a
          calibration run, and the records say so.
training  steps of two frames with all labels per CPU minute.
accuracy  errors of a finished training (``--model``: its output directory) on held-back frames of SiO2 or BaTiO3, and
          of the published predictions of allegro-pol; for several trainings or an ensemble, errors of each model and
          of the mean of their predictions (the latter are recorded).

Without ``--model`` the weights are random, which does not change the time.
"""

from __future__ import annotations

import gzip
import time
import warnings
from pathlib import Path

import torch
from ase.io import read
from cases import DATA, chosen, record, start, time_in_turn, write_records
from enthalpy_accuracy import accuracy, members_of
from enthalpy_peer import peers
from inference import resident
from stand_ins import announce, quartz

from tnep_calc.artifact import artifact_from_enthalpy
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape

SILICA = DATA.parent / "enthalpy" / "SiO2.extxyz.gz"
SPECIES, CUTOFF, MEMBERS = ("Si", "O"), 7.0, 4
QUANTITIES = {
    "E, F, P": ["energy", "forces", "dipole"],
    "E, F, P in a field": ["energy", "forces", "dipole"],
    "everything": ["energy", "forces", "virial", "dipole", "born_charges", "polarizability"],
}
FIELD = torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)
PROTOTYPE_STEPS, ALLEGRO_SECONDS = 850, 45
"""Steps of two frames per CPU minute of an early prototype; CPU seconds per frame of allegro-pol's training."""


def frames(count=1):
    """Return the first frames of the data set, or stand-ins for them, with 72 atoms each."""
    if not SILICA.exists():
        announce("SiO2")
        return quartz(count)
    with gzip.open(SILICA, "rt") as file:
        return read(file, slice(0, count), format="extxyz")


def scripted(dtype, members=1):
    """Return a scripted model of the trained size with random weights, or the mean of several."""
    shape = SiteShape(len(SPECIES))
    sites = [EnthalpySites(shape) for _ in range(members)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in (p for member in sites for p in member.parameters()):
            scale = 0.3 / p.shape[-2] ** 0.5 if p.dim() > 2 else 0.1
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    artifact = artifact_from_enthalpy(sites, SPECIES, CUTOFF, shape.n_radial, 0.0, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(artifact.module)


class Silica:
    """A supercell and calls of a model on it."""

    def __init__(self, repeat):
        self.atoms = frames()[0].repeat(repeat)
        self.species = torch.tensor([SPECIES.index(s) for s in self.atoms.get_chemical_symbols()])
        self.centers = torch.arange(len(self.atoms))
        self.inputs = self.edges()

    def edges(self):
        """Return the inputs of a model from a fresh native neighbour search."""
        geometry = (torch.from_numpy(a) for a in (self.atoms.positions, self.atoms.cell.array, self.atoms.pbc))
        offsets, neighbors, _, vectors = torch.ops.tnep.neighbor_list(*geometry, CUTOFF)
        return self.species, self.centers, offsets, neighbors, vectors

    def call(self, model, quantity, search=False):
        """Return a function that evaluates a model."""
        field = FIELD if "field" in quantity else None

        def call():
            with torch.jit.optimized_execution(False):  # as the package does
                return model(*(self.edges() if search else self.inputs), QUANTITIES[quantity], field)

        return call


def cost(repeat, against):
    """Return the records of one size and print its table."""
    cell, calls, mean = Silica(repeat), {}, scripted("float32", MEMBERS)
    n = len(cell.atoms)
    for dtype in ("float32", "float64"):
        model = scripted(dtype)
        for quantity in QUANTITIES:
            calls[f"native, {dtype}", quantity] = cell.call(model, quantity, search=True)
            calls[f"kernel, {dtype}", quantity] = cell.call(model, quantity)
            if dtype == "float32":
                calls[f"native, mean of {MEMBERS}", quantity] = cell.call(mean, quantity, search=True)
            if n < 1000:
                calls[f"plain torch, {dtype}", quantity] = cell.call(model.plain, quantity)
    us = {key: 1e6 * s / n for key, s in time_in_turn(calls, seconds=0.3, rounds=3).items()}
    print(f"SiO2, {n} atoms, {len(cell.inputs[3]) / n:.0f} neighbours: CPU us/atom (times faster than allegro-pol)")
    print(" " * 22 + "".join(f"{quantity:>26}" for quantity in QUANTITIES))
    records = []
    for path in dict.fromkeys(path for path, _ in us):
        line = f"{path:<22}"
        for quantity in QUANTITIES:
            peer, theirs = against["everything" if quantity == "everything" else "E, F, P"]
            line += f"{us[path, quantity]:14.2f} ({theirs / us[path, quantity]:7.0f} x)"
            records.append(
                record(f"SiO2, {n} atoms, {path}", quantity, peer, us[path, quantity], theirs, "CPU us/atom")
            )
        print(line, flush=True)
    return records


def linear(records):
    """Return the record of the cost per atom at the larger size compared with the smaller one."""
    cases = {r["case"]: r["ours"] for r in records if r["quantity"] == "everything"}
    small, large = (cases[f"SiO2, {n} atoms, native, float32"] for n in (576, 4608))
    print(f"4,608 atoms cost {large / small:.2f} times as much per atom as 576")
    return record("SiO2, 4608 atoms, native, float32", "everything", "576 atoms", large, small, "CPU us/atom")


def memory():
    """Return the record of the memory that one call for all quantities takes, including inputs and results."""
    model = scripted("float32")
    Silica(1).call(model, "everything")()
    before = resident()
    cell = Silica(4)
    result = cell.call(model, "everything", search=True)()
    per_atom = (resident() - before) / len(cell.atoms)
    print(f"{len(cell.atoms)} atoms, {len(result)} quantities: {per_atom / 1e3:.1f} kB per atom")
    return record(
        "SiO2, 4608 atoms, native, float32",
        "memory",
        "allegro-pol, recorded, AOTInductor, 72 atoms",
        per_atom,
        1.99e9 / 72,
        "bytes per atom",
    )


def training(steps=40):
    """Return the records of training steps per CPU minute, two frames each, with all labels."""
    from tnep_calc.io.structures.extxyz import from_atoms
    from tnep_calc.training.enthalpy.config import parse_enthalpy_config
    from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer

    keys = {"energy": "total_energy", "dipole": "polarization", "born_charges": "born_charge"}
    structures = [from_atoms(atoms, f"{SILICA} #{k}", keys=keys) for k, atoms in enumerate(frames(8))]
    tables = {
        "data": {"files": [str(SILICA)], "test_fraction": 0.0, "validation_fraction": 0.0},
        "model": {"kind": "enthalpy", "species": list(SPECIES)},
        "output": {"directory": "unused"},
    }
    trainer = EnthalpyTrainer(parse_enthalpy_config(tables), structures)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps + 4):
        if step == 4:
            begin = time.process_time()
        batch = [trainer.frames["train"][2 * step % 8], trainer.frames["train"][(2 * step + 1) % 8]]
        trainer._step(batch, generator)
    rate = 60 * steps / (time.process_time() - begin)
    print(f"training, labels {', '.join(trainer.weights)}: {rate:.0f} steps of 2 frames per CPU minute")
    records = []
    for peer, theirs in (("prototype, recorded", PROTOTYPE_STEPS), ("allegro-pol, recorded", 30 / ALLEGRO_SECONDS)):
        line = record("SiO2, 72 atoms, training", "steps of 2 frames", peer, rate, theirs, "steps per CPU minute")
        records.append(line | {"ratio": rate / theirs})
    return records


def main():
    parser = start(__doc__)
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="output directory of a finished training on the data of SiO2 or BaTiO3, of several, or of an ensemble",
    )
    args = parser.parse_args()
    records = []
    if chosen("memory", args.cases):  # first, as other parts would leave free memory in this process
        records.append(memory())
    if chosen("cost", args.cases):
        against = peers(frames()[0], SPECIES)
        for repeat in (2, 4):
            records += cost(repeat, against)
        records.append(linear(records))
    if chosen("training", args.cases):
        records += training()
    if chosen("accuracy", args.cases):
        if args.model is None:
            print("accuracy: skipped, no --model given")
        else:
            records += accuracy(members_of(args.model))
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()

"""Model files with changed members, and with code that does more than calculate."""

import zipfile

import torch

from helpers.toy_models import write_toy
from tnep_calc.artifact import METADATA_FILE


def with_member(source, target, ending, data):
    """Copy an archive with one member replaced; its checksum is correct."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            new.writestr(member, data if member.endswith(ending) else old.read(member))


def member(source, ending):
    with zipfile.ZipFile(source) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(ending)]
        return archive.read(name)


HOSTILE = {
    "file": '    x = torch.from_file("/tmp/x", True, 10)',
    "method of a tensor": '    vectors.from_file("/tmp/x", True, 10)',
    "operator by name": '    f = getattr(vectors, "from_file")',
    "writing": '    torch.save(vectors, "/tmp/x")',
    "module torch": "    t = torch",
    "another library": "    ops.image.write_file(vectors, vectors)",
    "printing": "    ops.prim.Print(vectors)",
    "class of C++": "    x = __torch__.torch.classes.some.Thing()",
}
"""Lines of code that a model must not have."""


def write_hostile(path, what):
    """Write a toy model with one of the lines of ``HOSTILE`` before its first ``return``."""
    made = path.with_name("made.pt")
    source = write_toy(made)
    text = member(source, "toy_models.py").decode()
    changed = text.replace("    return ", HOSTILE[what] + "\n    return ", 1)
    assert changed != text
    with_member(source, path, "toy_models.py", changed)


class Hostile(torch.nn.Module):
    """A model that writes to a file as soon as it is loaded."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    @torch.jit.export
    def __getstate__(self):
        return self.name

    @torch.jit.export
    def __setstate__(self, state: str):
        self.name = state
        self.training = bool(torch.from_file(state, True, 8).fill_(1.0)[0] > 2)

    def forward(self, x):
        return x


def write_setstate(path, target):
    """Write a model that writes to the file `target` as soon as it is loaded; the target does not exist afterwards."""
    text = member(write_toy(path.with_name("made.pt")), METADATA_FILE).decode()
    torch.jit.save(torch.jit.script(Hostile(str(target))), str(path), _extra_files={METADATA_FILE: text})
    target.unlink(missing_ok=True)

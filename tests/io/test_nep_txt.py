import gzip
import re

import numpy as np
import pytest

from helpers.paths import DATA, shared_data
from helpers.random_nep import random_nep
from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.io.gpumd.nep_txt import format_nep, read_nep, write_nep

FILES = [
    "qm7b/dipole/nep.txt",
    "qm7b/polarizability/nep.txt",
    "gpumd_fixtures/models/nep_BaTiO3.txt",
    "gpumd_tests/dump_polarizability/nep_pol.txt",
    "potentials/UNEP-v1_NEP4_zbl.txt.gz",
]
SYNTHETIC = sorted((DATA / "nep_txt").glob("*.txt.gz"))
SHIPPED = sorted((DATA / "oracle" / "models").glob("*.txt.gz"))


@pytest.mark.parametrize("name", FILES)
def test_published_files_are_reproduced_word_for_word(name):
    path = shared_data(f"tnep/{name}")
    text = (gzip.open(path, "rt") if name.endswith("gz") else open(path)).read()
    assert format_nep(read_nep(path)).split() == text.split()


@pytest.mark.parametrize("path", SYNTHETIC, ids=[path.name for path in SYNTHETIC])
def test_files_of_eight_digits_are_reproduced_word_for_word(path):
    assert format_nep(read_nep(path)).split() == gzip.open(path, "rt").read().split()


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_files_of_published_shapes_are_reproduced_value_for_value(path):
    def values(text):
        return [float(word) if re.fullmatch(r"[-+.\de]+", word) else word for word in text.split()]

    assert values(format_nep(read_nep(path))) == values(gzip.open(path, "rt").read())


@pytest.mark.parametrize("version", (3, 4, 5))
@pytest.mark.parametrize("kind", ("potential", "dipole", "polarizability"))
def test_round_trip(tmp_path, kind, version):
    p = random_nep(kind, version=version, cutoffs=((5.0, 4.0), (4.5, 3.5)), zbl=kind == "potential")
    write_nep(tmp_path / "nep.txt", p)
    q = read_nep(tmp_path / "nep.txt")
    assert format_nep(q) == format_nep(p)
    for name in ("w0", "b0", "w1", "b1", "c_radial", "c_angular", "q_scaler", "radial_cutoffs", "species_bias"):
        a, b = getattr(p, name), getattr(q, name)
        assert (a is None and b is None) or np.allclose(a, b, rtol=1e-7, atol=0), name
    assert q.cutoff == 5.0 and q.kind == kind and q.version == version
    assert [f.name for f in tmp_path.iterdir()] == ["nep.txt"]


def test_old_polarizability_file_is_recognised_by_its_size(tmp_path):
    text = format_nep(random_nep("polarizability")).replace("nep4_polarizability", "nep4")
    (tmp_path / "old.txt").write_text(text)
    with pytest.raises(ModelFileError, match="model_type='polarizability'"):
        read_nep(tmp_path / "old.txt")
    assert read_nep(tmp_path / "old.txt", model_type="polarizability").kind == "polarizability"


GOOD = format_nep(random_nep())
BAD = {
    "empty": ("", "empty"),
    "foreign": ("import numpy\n", "not a nep.txt"),
    "truncated": (GOOD[:-100], "truncated"),
    "truncated between lines": (GOOD[:-160], "has .*: the file is truncated"),
    "truncated header": ("\n".join(GOOD.splitlines()[:3]), "end of the file"),
    "too long": (GOOD + "1.0\n", "do not fit together"),
    "word": (GOOD[:-16] + "hello\n", "expected a number, found 'hello'"),
    "nan": (GOOD[:-16] + "nan\n", "not finite"),
    "charge": (GOOD.replace("nep4 ", "nep4_charge1 "), "qNEP"),
    "symbols": (GOOD.replace("2 B N", "2 B Xx"), "chemical symbols"),
    "species": (GOOD.replace("2 B N", "3 B N"), "expected 3 species, found 2"),
    "cutoff": (GOOD.replace("cutoff 5 4 100 50", "cutoff 5 4 100"), "needs 2 or 4 or 6 or 7 values"),
    "two layers": (GOOD.replace("ANN 6 0", "ANN 6 6"), "two hidden layers"),
    "keyword": (GOOD.replace("n_max", "nmax"), "expected 'n_max'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_what_is_wrong(tmp_path, case):
    text, message = BAD[case]
    (tmp_path / "nep.txt").write_text(text)
    with pytest.raises(ModelFileError, match=message) as error:
        read_nep(tmp_path / "nep.txt")
    assert "nep.txt" in str(error.value)


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match="model_type"):
        read_nep(tmp_path / "nep.txt", model_type="charge")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_nep(tmp_path / "missing.txt")
    p = random_nep()
    p.w0[0, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match="non-finite"):
        write_nep(tmp_path / "nep.txt", p)
    assert not list(tmp_path.iterdir())


def test_files_that_end_inside_the_last_number(tmp_path):
    """However many characters are missing; a file without its last newline only is whole."""
    path, text = tmp_path / "nep.txt", format_nep(random_nep("potential")).rstrip()
    path.write_text(text)
    read_nep(path)
    for missing in range(1, len(text.split()[-1])):
        path.write_text(text[:-missing])
        with pytest.raises(ModelFileError, match="truncated"):
            read_nep(path)

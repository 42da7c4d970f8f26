from dataclasses import fields, replace

import pytest

from helpers.paths import shared_data
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import NepInput, read_nep_in, write_nep_in


def read(tmp_path, text):
    path = tmp_path / "nep.in"
    path.write_text(text)
    return read_nep_in(path)


def test_defaults(tmp_path):
    p = read(tmp_path, "# a comment\n\ntype 2 Te Pb # mandatory\n")
    assert p == NepInput(("Te", "Pb"))
    assert p.kind == "potential" and p.dim == 42 and p.n_parameters == 3033
    assert p.regularisation == pytest.approx(((1e-6 * 3033 / 2) ** 0.5,) * 2)
    assert p.given == {"type": 3}


def test_the_published_inputs_are_read():
    p = read_nep_in(shared_data("tnep/qm7b/polarizability/nep.in"))
    assert p.species == ("H", "C", "N", "O", "S", "Cl") and p.kind == "polarizability"
    assert (p.cutoff, p.l_max, p.neuron, p.population) == (((6.0, 4.0),), (4, 2, 1, 0, 0, 0, 0), 10, 80)
    assert (p.lambda_e, p.lambda_f, p.lambda_v, p.regularisation) == (0, 0, 1, (0.03, 0.03))
    assert p.n_parameters == 11721 - 6 - 49  # lines of its nep.txt without header and q_scaler
    assert read_nep_in(shared_data("tnep/atomic_dipole_water/nep.in")).atomic_v
    assert read_nep_in(shared_data("tnep/pbte/nep_prediction.in")).prediction == 1


ALL = """
type 2 B N
mode 0
version 4
prediction 1
cutoff 7 5 6.5 4.25
n_max 5 4
basis_size 7 8
l_max 3 1 0 1
neuron 20 0
population 20
generation 0
batch 20 1
lambda_1 0.25
lambda_2 0
lambda_e 2
lambda_f 3
lambda_v 0.3
lambda_shear 0.5
type_weight 1 2.5
force_delta 0.125
zbl 2
use_typewise_cutoff_zbl
import_q_scaler 1
save_potential 500 0
output_interval 10
output_descriptor 2
initial_para 0.5
sigma0 0.2
seed 7
fine_tune a/nep89.txt a/nep89.restart 0
charge_mode 0
"""


def test_every_keyword_is_read_and_written_back(tmp_path):
    p = read(tmp_path, ALL)
    expected = {
        "species": ("B", "N"),
        "prediction": 1,
        "cutoff": ((7.0, 5.0), (6.5, 4.25)),
        "n_max": (5, 4),
        "basis_size": (7, 8),
        "l_max": (3, 1, 0, 1, 0, 0, 0),
        "neuron": 20,
        "population": 20,
        "generation": 0,
        "batch": 20,
        "full_batch": True,
        "lambda_1": 0.25,
        "lambda_2": 0,
        "lambda_e": 2,
        "lambda_f": 3,
        "lambda_v": 0.3,
        "lambda_shear": 0.5,
        "type_weight": (1, 2.5),
        "force_delta": 0.125,
        "zbl": 2,
        "use_typewise_cutoff_zbl": 0.7,
        "import_q_scaler": True,
        "save_potential": (500, 0, 0),
        "output_interval": 10,
        "output_descriptor": 2,
        "initial_para": 0.5,
        "sigma0": 0.2,
        "seed": 7,
        "fine_tune": ("a/nep89.txt", "a/nep89.restart", "0"),
    }
    assert {name: getattr(p, name) for name in expected} == expected
    changed = {f.name for f in fields(NepInput) if getattr(p, f.name) != getattr(NepInput(("Te", "Pb")), f.name)}
    assert changed - {"given"} == set(expected)
    assert len(fields(NepInput)) == len(expected) + 4  # model_type, atomic_v, given, without_effect
    assert not p.without_effect
    for q in (p, replace(p, model_type=2, lambda_e=0.0, lambda_f=0.0, atomic_v=True), NepInput(("H",))):
        write_nep_in(tmp_path / "copy.in", q, force=True)
        assert read_nep_in(tmp_path / "copy.in") == q


def test_calorine_reads_what_is_written(tmp_path):
    calorine = pytest.importorskip("calorine.nep")
    write_nep_in(tmp_path / "nep.in", replace(read(tmp_path, ALL), model_type=1, full_batch=False), force=True)
    content = calorine.read_nepfile(str(tmp_path / "nep.in"))
    assert content["type"] == [2, "B", "N"] and content["model_type"] == 1 and content["neuron"] == 20
    assert content["cutoff"] == [7, 5, 6.5, 4.25] and content["l_max"] == [3, 1, 0, 1, 0, 0, 0]


def test_save_potential_defaults(tmp_path):
    for text, expected in (("5", (5, 1, 0)), ("5 0", (5, 0, 0)), ("5 1 1", (5, 1, 1))):
        assert read(tmp_path, f"type 1 H\nsave_potential {text}").save_potential == expected


def test_response_models_weigh_only_the_response(tmp_path):
    assert read(tmp_path, "type 1 H\nlambda_e 5\nmodel_type 1").lambda_v == 1
    p = read(tmp_path, "type 1 H\nlambda_e 5\nlambda_v 0.3\nmodel_type 2")
    assert (p.lambda_e, p.lambda_f, p.lambda_v) == (0, 0, 0.3)


def test_keywords_without_effect_are_listed(tmp_path):
    text = "type 2 B N\nlambda_q 0.1\nlambda_z 0\noutput_descriptor 1\n"
    charges = {"lambda_q": "only for models with charges"}
    assert read(tmp_path, text).without_effect == charges | {"output_descriptor": "only with 'prediction 1'"}
    assert read(tmp_path, text + "prediction 1").without_effect == charges
    text = "type 2 B N\nmodel_type 1\nlambda_e 0\nlambda_f 1\nforce_delta 1\nzbl 2\nuse_typewise_cutoff_zbl\n"
    found = read(tmp_path, text + "type_weight 1 2\nlambda_shear 2").without_effect
    assert set(found) == {"lambda_f", "force_delta", "zbl", "use_typewise_cutoff_zbl", "type_weight", "lambda_shear"}
    assert not read(tmp_path, "type 2 B N\nmodel_type 1\ntype_weight 1 1.0\nlambda_shear 1").without_effect


def test_a_byte_order_mark_is_accepted(tmp_path):
    assert read(tmp_path, "\ufefftype 1 H\n").species == ("H",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cutoff 8 4\ntype 1 H", "line 1: 'cutoff': must come after 'type'"),
        ("type_weight 1\ntype 1 H", "line 1: 'type_weight': must come after 'type'"),
        ("generation 5", "the keyword 'type' is missing"),
        ("type 1 H\nfoo 5", "line 2: 'foo': unknown keyword; known: atomic_v"),
        ("type 2 H", "expected the number of species"),
        ("type", "expected the number of species"),
        ("type x H", "expected a number of species, found 'x'"),
        ("type 1 h", "chemical symbols .* h"),
        ("type 2 H H", "repeated"),
        ("type 1 Am", "H to Pu"),
        ("type 1 H\ncutoff 8", "'cutoff': expected a radial and an angular"),
        ("type 1 H\ncutoff 4 5", "3 <= angular <= radial <= 100 A, found radial 4 and angular 5"),
        ("type 1 H\ncutoff 5 2", "3 <= angular"),
        ("type 1 H\ncutoff 101 5", "<= 100"),
        ("type 1 H\ncutoff nan 5", "found 'nan'"),
        ("type 1 H\nversion 3", "expected 4"),
        ("type 1 H\nmodel_type 3", "temperature-dependent"),
        ("type 1 H\nmode 4", "'mode': expected 0"),
        ("type 1 H\nn_max 13 4", "'n_max': expected a radial .0 to 12."),
        ("type 1 H\nn_max 4", "found 1 values"),
        ("type 1 H\nbasis_size 4 13", "angular .0 to 12."),
        ("type 1 H\nl_max 1", "l .2 to 8."),
        ("type 1 H\nl_max 4 2 1 1 1 1 1 1", "found 8 values"),
        ("type 1 H\nn_max 12 8\nl_max 8 1 1 1", "descriptor components"),
        ("type 1 H\nneuron 121", "1 to 120"),
        ("type 1 H\nneuron 10 10", "a second one is not supported"),
        ("type 1 H\npopulation 9", "10 to 200"),
        ("type 1 H\npopulation 20.5", "found '20.5'"),
        ("type 1 H\ngeneration -1", "0 to 10000000"),
        ("type 1 H\nbatch 0", "at least 1"),
        ("type 1 H\nlambda_1 -1", "not negative, found '-1'"),
        ("type 1 H\ntype_weight 1 1", "expected 1 weights"),
        ("type 1 H\nforce_delta -1", "not negative"),
        ("type 1 H\nzbl 0.5", "1 to 4 A"),
        ("type 1 H\nuse_typewise_cutoff_zbl 0.7", "needs the keyword 'zbl'"),
        ("type 1 H\natomic_v 1", "model_type 1 or 2 only"),
        ("type 1 H\ncharge_mode 1", "qNEP. are not supported"),
        ("type 1 H\nvdw 1", "van der Waals"),
        ("type 1 H\ncharge_vdw 1", "van der Waals"),
        ("type 1 H\nlambda_q much", "'lambda_q': expected a number, found 'much'"),
        ("type 1 H\nlambda_z", "'lambda_z': expected a number that is not negative, found ''"),
        ("type 1 H\nlambda_z -1", "'lambda_z': expected a number that is not negative, found '-1'"),
        ("type 1 H\nfine_tune nep.txt", "expected a nep.txt, a nep.restart, and optionally 0 or 1"),
        ("type 1 H\nfine_tune nep.txt nep.restart 2", "optionally 0 or 1"),
        ("type 1 H\nsave_potential 0", "interval of at least 1"),
        ("type 1 H\noutput_interval 0", "at least 1"),
        ("type 1 H\noutput_descriptor 3", "0, 1"),
        ("type 1 H\nsigma0 0", "positive"),
        ("type 1 H\ninitial_para 0", "other than 0"),
        ("type 1 H\nseed -1", "not negative"),
        ("type 1 H\nmode 1\nmodel_type 1", "line 3: 'model_type': given twice .first on line 2."),
    ],
)
def test_errors_name_the_line_and_what_was_expected(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, text)
    assert str(tmp_path / "nep.in") in str(error.value)


def test_files_are_not_overwritten_and_must_exist(tmp_path):
    write_nep_in(tmp_path / "nep.in", NepInput(("H",)))
    with pytest.raises(InputError, match="--force"):
        write_nep_in(tmp_path / "nep.in", NepInput(("H",)))
    with pytest.raises(InputError, match="cannot be read"):
        read_nep_in(tmp_path / "missing.in")

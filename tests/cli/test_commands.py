import pytest

from helpers.random_nep import random_nep
from tnep_calc.artifact import read_metadata
from tnep_calc.cli import COMMANDS, build_parser, main
from tnep_calc.io.gpumd.nep_txt import write_nep


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "--debug" in text and len(text) > 300


def test_general_help_names_all_commands():
    text = build_parser().format_help()
    assert all(f"    {name}" in text for name in COMMANDS)


def test_wrong_usage_has_exit_status_two(capsys):
    for argv in ([], ["spectrum"], ["export"], ["export", "a", "b", "--dtype", "half"]):
        with pytest.raises(SystemExit) as leaving:
            main(argv)
        assert leaving.value.code == 2


def test_export(tmp_path, capsys):
    write_nep(tmp_path / "nep.txt", random_nep("dipole"))
    source, target = str(tmp_path / "nep.txt"), tmp_path / "model.pt"
    assert main(["export", source, str(target), "--dtype", "float32", "--unit", "debye"]) == 0
    assert "born_charges" in capsys.readouterr().out
    assert read_metadata(target).dtype == "float32"
    before = target.read_bytes()
    assert main(["export", source, str(target)]) == 1
    assert "--force to overwrite" in capsys.readouterr().err and target.read_bytes() == before
    assert main(["export", source, str(target), "--force"]) == 0
    assert read_metadata(target).dtype == "float64"


def test_an_error_is_one_line_and_debug_shows_more(tmp_path, capsys):
    missing = str(tmp_path / "missing.txt")
    assert main(["export", missing, str(tmp_path / "m.pt")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("tnep export: error:") and "missing.txt" in lines[0]
    with pytest.raises(Exception, match="missing.txt"):
        main(["export", missing, str(tmp_path / "m.pt"), "--debug"])


def test_info(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for word in ("tnep_calc", "python", "torch", "native", "LAMMPS", "MPI"):
        assert any(word in line for line in lines), word
    assert all(line[:2] in ("  ", "- ") for line in lines)

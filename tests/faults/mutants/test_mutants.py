"""What `run` makes of the reports of runs, and that every mutant of the list can be made."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from mutants import HERE, ROOT, Mutant, Verdict, apply, listed, mirror, names, read, table

RULES = re.search(r"enum Rule \{(.*?)\n\}", (ROOT / "tests/faults/check/mod.rs").read_text(), re.DOTALL)[1]
CASES = "".join(path.read_text() for path in (ROOT / "tests/faults/cases").rglob("*.rs"))


def test_all_mutants_apply_to_the_tree_together(tmp_path: Path):
    mirror(ROOT, [name for name in names() if name.startswith("src/")], tmp_path)
    for mutant in listed():
        why = apply(mutant.patch, tmp_path)
        assert why is None, f"{mutant.patch.name} is to be made anew: {why}"


@pytest.mark.parametrize("mutant", listed(), ids=lambda mutant: mutant.name)
def test_a_mutant_is_switched_by_its_name_and_names_a_rule_and_a_case(mutant: Mutant):
    assert f'mutant == "{mutant.name}"' in mutant.patch.read_text()
    assert re.search(rf"^    {mutant.rule},$", RULES, re.MULTILINE)
    assert f"fn {mutant.case}()" in CASES


def test_every_patch_is_listed_once():
    assert sorted(mutant.name for mutant in listed()) == sorted(path.stem for path in HERE.glob("*.patch"))


def test_the_readme_tells_of_every_mutant():
    told = (ROOT / "tests/faults/README.md").read_text()
    for mutant in listed():
        row = rf"^\| `{mutant.name}` \| .* \| {mutant.case.partition('_')[0].upper()} \| {mutant.rule} \|"
        assert re.search(row, told, re.MULTILINE), f"no row for {mutant.name}"


def report(folder: Path, rules: list[str], broke: str | None = None) -> Path:
    path = folder / "x01.json"
    path.write_text(json.dumps({"rules": rules, "violations": [f"{rule}: so" for rule in rules], "broke": broke}))
    return path


def test_a_mutant_is_caught_by_its_own_rule_only(tmp_path: Path):
    assert read(report(tmp_path, ["V1", "V4"]), "V4") == Verdict(True, "V4: so")
    assert read(report(tmp_path, ["V1", "V10"], "it hung"), "V1").is_caught
    assert read(report(tmp_path, ["V10"]), "V1") == Verdict(False, "V10")
    assert read(report(tmp_path, []), "V1") == Verdict(False, "good")
    assert read(report(tmp_path, [], "nothing was done"), "V1") == Verdict(False, "broke: nothing was done")
    assert not read(tmp_path / "none.json", "V1").is_caught


def test_a_file_that_is_mended_is_newer_than_what_was_built_of_it(tmp_path: Path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    (source / "src").mkdir(parents=True)
    copy.mkdir()
    for name in ("src/a.rs", "b.rs"):
        (source / name).write_text("good")
        os.utime(source / name, (1, 1))
    mirror(source, ["src/a.rs", "b.rs"], copy)
    (copy / "src/a.rs").write_text("evil")
    (copy / "left.rs").write_text("of a mutant")
    for path in (copy / "src/a.rs", copy / "b.rs"):
        os.utime(path, (2, 2))
    mirror(source, ["src/a.rs", "b.rs"], copy)
    assert (copy / "src/a.rs").read_text() == "good"
    assert (copy / "src/a.rs").stat().st_mtime > 2
    assert (copy / "b.rs").stat().st_mtime == 2
    assert not (copy / "left.rs").exists()


def test_a_patch_that_does_not_fit_is_told(tmp_path: Path):
    # As the workshop is: below a repository that ignores it.
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/target\n")
    tree = tmp_path / "target/tree"
    tree.mkdir(parents=True)
    (tree / "a.rs").write_text("good\n")
    patch = tmp_path / "evil.patch"
    patch.write_text("--- a/a.rs\n+++ b/a.rs\n@@ -1 +1 @@\n-good\n+evil\n")
    assert apply(patch, tree) is None
    assert (tree / "a.rs").read_text() == "evil\n"
    assert "patch does not apply" in apply(patch, tree)


def test_the_report_has_a_row_for_each():
    mutants = [Mutant("one", "", "x01_a", "V1"), Mutant("two", "", "x02_b", "V2")]
    rows = table(mutants, [Verdict(True, "V1: a | b", 2, 61.2), Verdict(False, "good", 3)]).splitlines()[2:]
    assert rows[0] == "| one | X01 | V1 | caught | 2 | 61 | V1: a / b |"
    assert rows[1] == "| two | X02 | V2 | **not caught** | 3 | 0 | good |"

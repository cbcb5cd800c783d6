"""What `run` does: patches a copy of the tree, builds it, and has the rig judge the nodes that come of it.

All mutants are in one build, for a build is what takes longest: each patch breaks its rule only if `MUTANT` names it.
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WORKSHOP = ROOT / "target/mutants"
REPORT = WORKSHOP / "report.md"
# Chance may let one pass: a mutant has this many runs to be caught in.
RUNS = 3
# What a case takes at most, and the time to tell of it.
LONGEST = 360


@dataclass(frozen=True)
class Mutant:
    """One way to break the server, and what catches it."""

    name: str
    what: str
    # The name of a test of the rig, and the rule that has to be in its report.
    case: str
    rule: str

    @property
    def patch(self) -> Path:
        return HERE / f"{self.name}.patch"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    is_caught: bool
    # In words: what the last run found.
    found: str
    runs: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{'caught' if self.is_caught else 'NOT CAUGHT'}: {self.found}"


def listed() -> list[Mutant]:
    """The mutants of `list.toml`."""
    return [Mutant(**entry) for entry in tomllib.loads((HERE / "list.toml").read_text())["mutant"]]


def read(report: Path, rule: str) -> Verdict:
    """What the report of a run says. A run that came to no end has caught nothing, whatever it was stopped by."""
    if not report.exists():
        return Verdict(False, "the run left no report")
    run = json.loads(report.read_text())
    if rule in run["rules"]:
        first = next(one for one in run["violations"] if one.startswith(f"{rule}:"))
        return Verdict(True, first)
    if run["broke"]:
        return Verdict(False, f"broke: {run['broke']}")
    return Verdict(False, ", ".join(run["rules"]) or "good")


def names() -> list[str]:
    """The files of the repository, and those that are new in it."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    return [name for name in told if name and (ROOT / name).is_file()]


def mirror(source: Path, names: list[str], copy: Path) -> None:
    """Makes the files of `copy` those of `source` that are named. A file that is mended is new: cargo goes by the time."""
    for name in names:
        original, there = source / name, copy / name
        if not there.exists() or not filecmp.cmp(original, there, shallow=False):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, there)
            shutil.copymode(original, there)
    wanted = {copy / name for name in names}
    for there in [path for path in copy.rglob("*") if path.is_file() and path not in wanted]:
        there.unlink()


def apply(patch: Path, tree: Path) -> str | None:
    """Patches a tree that is no repository; why it cannot be done, if so."""
    # Else git looks for the repository around it, and passes over what that ignores.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(["git", "apply", str(patch)], cwd=tree, env=environment, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def table(mutants: list[Mutant], verdicts: list[Verdict]) -> str:
    """The report, for people."""
    rows = ["| mutant | case | rule | verdict | runs | s | what was found |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        found = verdict.found.replace("|", "/").replace("\n", " ")[:200]
        how = "caught" if verdict.is_caught else "**not caught**"
        case = mutant.case.partition("_")[0].upper()
        rows.append(f"| {mutant.name} | {case} | {mutant.rule} | {how} | {verdict.runs} | {verdict.seconds:.0f} | {found} |")
    return "\n".join(rows) + "\n"


class Workshop:
    """A copy of the tree with all mutants in it, what is built of that, and the rig of the tree as it is."""

    def __init__(self) -> None:
        self.tree = WORKSHOP / "tree"
        self.target = WORKSHOP / "target"
        self.tree.mkdir(parents=True, exist_ok=True)
        self._seed()
        mirror(ROOT, names(), self.tree)
        for mutant in listed():
            if why := apply(mutant.patch, self.tree):
                sys.exit(f"{mutant.patch.name} does not apply: {why}")
        # With the features that tests unite, so that the dependencies are there already; there are no examples.
        build = ["cargo", "build", "--locked", "--bin", "natter", "--examples"]
        subprocess.run(build, cwd=self.tree, env=os.environ | {"CARGO_TARGET_DIR": str(self.target)}, check=True)
        self.rig = self._rig()

    def judge(self, mutant: Mutant) -> Verdict:
        """Runs the case of a mutant until it is caught, or has had its runs."""
        began = time.monotonic()
        for number in range(1, RUNS + 1):
            verdict = read(self._run(mutant), mutant.rule)
            if verdict.is_caught:
                break
        return Verdict(verdict.is_caught, verdict.found, number, time.monotonic() - began)

    def _run(self, mutant: Mutant) -> Path:
        """Runs the case of a mutant: the path of its report."""
        folder = WORKSHOP / "runs" / mutant.name
        shutil.rmtree(folder, ignore_errors=True)
        node = self.target / "debug/natter"
        rig = {"NATTER_FAULTS_NODE": str(node), "NATTER_FAULTS_FOLDER": str(folder), "MUTANT": mutant.name}
        command = [str(self.rig), "--ignored", "--test-threads=1", "--nocapture", mutant.case]
        try:
            subprocess.run(command, cwd=ROOT, env=os.environ | rig, timeout=LONGEST, check=False)
        except subprocess.TimeoutExpired:
            print(f"{mutant.case} takes longer than {LONGEST} s", flush=True)
        return next(folder.glob("*.json"), folder / "none.json")

    def _seed(self) -> None:
        """Takes over what is built of the dependencies, which no mutant changes."""
        for part in ("build", "deps", ".fingerprint"):
            built, there = ROOT / "target/debug" / part, self.target / "debug" / part
            if built.exists() and not there.exists():
                shutil.copytree(built, there, copy_function=os.link, ignore=shutil.ignore_patterns("*natter-*", "faults-*", "it-*"))

    def _rig(self) -> Path:
        """The rig, built of the tree as it is."""
        build = ["cargo", "test", "--locked", "--no-run", "--test", "faults", "--message-format=json-render-diagnostics"]
        told = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        artifacts = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        return next(Path(one["executable"]) for one in artifacts if one.get("executable") and one["profile"]["test"])

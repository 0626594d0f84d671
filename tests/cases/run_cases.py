#!/usr/bin/env python3
"""Runs every case folder of a directory and says whether OpenCLOC's outcome is the right one.

    run_cases.py --binary build/release/opencloc [--cases DIR | --reports] [--only NAME ...] [--model DIR] [--verbose]

A case folder has inputs and a README.md whose first line is `COMMAND` -> the right outcome in words.
The commands of cases that expectations.py knows are judged: right, wrong (with the reason) or skipped (with
the reason). Of any other case, what the command printed and wrote is shown, as "not judged". One line a case,
and a last line "N right, N wrong, N not judged". Exits 1 when a case is wrong, 2 when nothing can be run,
77 when the directory is not there (CTest: skipped).

Cases run in a copy, so the directory may be read-only. Small models come from make_model.py of the directory
(or of OPENCLOC_TEST_DATA/cases), which wants Debian's python3-torch; `../_model_of_your_own` is --model, or a
training run of one step.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import expectations
import expectations_reports  # noqa: F401  fills its table
import make_reports
import outputs

LIMIT_S = 180  # of one command: a hang is a wrong outcome, too
WRAPPER = """#!/bin/bash
# Writes down what every call printed. Where that is not possible, the program alone runs.
folder=$(mktemp -d "{log}/XXXXXXXX" 2>/dev/null) || exec "{binary}" "$@"
printf '%s\\n' "$@" >"$folder/args"
date +%s%N >"$folder/at"
"{binary}" "$@" >"$folder/stdout" 2>"$folder/stderr"
code=$?
echo $code >"$folder/code"
cat "$folder/stdout"; cat "$folder/stderr" >&2
exit $code
"""


class Call:
    """One call of the program."""

    def __init__(self, folder):
        def read(name):
            path = folder / name
            return path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
        self.args = read("args").splitlines()
        self.stdout, self.stderr = read("stdout"), read("stderr")
        self.code = int(read("code") or -1)  # -1: it was ended by force
        self.at = int(read("at") or 0)
        self.text = self.stdout + self.stderr
        self.lines = [line for line in self.stderr.splitlines() if line.strip()]


class Result:
    """What a command printed: `calls` of the program, and code, stdout and stderr of the whole."""

    def __init__(self, code, stdout, stderr, calls):
        self.code, self.stdout, self.stderr, self.calls = code, stdout, stderr, calls
        self.text = stdout + stderr


class Case(Result):
    """A case that ran, and a way to run more commands in the same place ($OUT kept)."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.folder = bench.cases / name
        self.out = pathlib.Path(tempfile.mkdtemp(dir=bench.root, prefix=f"out-{name}-"))
        self.out.chmod(0o755)
        self.command, self.wanted = read_readme(self.folder / "README.md")

    def go(self):
        first = self.run(self.command)
        super().__init__(first.code, first.stdout, first.stderr, first.calls)
        return self

    def run(self, command):
        return self.bench.run(command, self.folder, self.out)

    def records(self, name="s"):
        return outputs.records(self.out / name)


class Bench:
    """The copy of the cases with the program in front of PATH."""

    def __init__(self, options):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="opencloc-cases-"))
        self.root.chmod(0o755)  # a case changes its user
        self.source = options.cases
        self.cases = self.root / "cases"
        self.cases.mkdir()
        self.model, self.binary = options.model, options.binary
        (self.root / "bin").mkdir()
        self.log = self.root / "log"
        self.log.mkdir(mode=0o700)
        program = self.root / "bin/opencloc"
        program.write_text(WRAPPER.format(log=self.log, binary=options.binary))
        program.chmod(0o755)
        shared = default_cases().parent
        for data in (options.cases.parent / "data", shared / "data"):
            if data.is_dir() and not (self.root / "data").exists():
                (self.root / "data").symlink_to(data.resolve())
        for maker in (options.cases / "make_model.py", shared / "cases/make_model.py"):
            if maker.is_file() and not (self.cases / "make_model.py").exists():
                shutil.copy(maker, self.cases / "make_model.py")
                (self.cases / "make_model.py").chmod(0o755)
        for extra in options.cases.iterdir():  # files that cases share
            if extra.is_file() and not (self.cases / extra.name).exists():
                shutil.copy(extra, self.cases / extra.name)

    def prepare(self, name):
        shutil.copytree(self.source / name, self.cases / name, symlinks=True)
        for folder, _, files in os.walk(self.cases / name):  # the source may be read-only
            os.chmod(folder, 0o755)
            for file in files:
                if not os.path.islink(os.path.join(folder, file)):
                    os.chmod(os.path.join(folder, file), 0o644)
        case = Case(self, name)
        if "_model_of_your_own" in case.command or name in expectations.WANT_MODEL:
            self.make_model()
        return case

    def make_model(self):
        link = self.cases / "_model_of_your_own"
        if link.exists():
            return
        if self.model is None:
            scenes, run = self.root / "scenes", self.root / "run"
            subprocess.run([self.binary, "data", "scenes", "--count", "8", "--size", "64", "--seed", "1", "--out",
                            scenes], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run([self.binary, "train", "--data", scenes, "--model", "ViT-XXS-16-96", "--objective",
                            "clip", "--steps", "1", "--batch-size", "2", "--out", run], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.model = run / "model"
        link.symlink_to(pathlib.Path(self.model).resolve())

    def run(self, command, folder, out):
        known = set(self.log.iterdir())
        environment = {**os.environ, "OUT": str(out), "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, stdout=stdout,
                                       stderr=stderr, stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                code = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                code = None
            texts = []
            for stream in (stdout, stderr):
                stream.seek(0)
                texts.append(stream.read().decode("utf-8", "replace"))
        calls = sorted((Call(f) for f in self.log.iterdir() if f not in known), key=lambda call: call.at)
        return Result(code, *texts, calls)


def read_readme(path):
    """The command and the right outcome of a case's README."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"`([^`]+)`\s*->\s*(.*)", text)
    if not match:
        raise expectations.Skipped("its README.md has no `COMMAND` -> OUTCOME")
    return match.group(1), match.group(2).strip()


def shown(case):
    """What a case printed and wrote, for a reader to judge."""
    lines = [f"  wanted: {case.wanted}"]
    codes = ", ".join(str(call.code) for call in case.calls) or "none seen"
    lines.append(f"  exit code {case.code} (calls: {codes})")
    lines += [f"  stderr: {line}" for line in case.stderr.splitlines()[-8:]]
    lines += [f"  stdout: {line[:400]}" for line in case.stdout.splitlines()[-8:]]
    for folder in sorted({path.parent for path in case.out.rglob("*.tar")}):
        found = outputs.records(folder)
        lines.append(f"  written: {folder.relative_to(case.out)}: {len(found)} samples")
        lines += [f"    {key}: {str(record)[:300]}" for key, record in list(found.items())[:6]]
    others = sorted(p for p in case.out.rglob("*") if p.is_file() and p.suffix != ".tar")
    if others:
        lines.append("  written: " + ", ".join(str(path.relative_to(case.out)) for path in others[:12]))
    return "\n".join(lines)


def judge(bench, name, verbose):
    """(verdict, line to print) of one case."""
    try:
        case = bench.prepare(name)
        check = expectations.TABLE.get(name)
        if check is None:
            return "not judged", f"not judged  {name}\n{shown(case.go())}"
        expectations.require(case)
        case.go()
        try:
            if case.code is None:
                raise expectations.Wrong(f"still running after {LIMIT_S} s")
            check(case)
        except expectations.Wrong as wrong:
            return "wrong", f"wrong       {name}: {wrong}" + (f"\n{shown(case)}" if verbose else "")
        return "right", f"right       {name}"
    except expectations.Skipped as skipped:
        return "skipped", f"skipped     {name}: {skipped}"


def default_cases():
    source = pathlib.Path(__file__).resolve().parents[2]
    return pathlib.Path(os.environ.get("OPENCLOC_TEST_DATA", source.parent / "shared")) / "cases"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, type=pathlib.Path, help="the program, build/release/opencloc")
    parser.add_argument("--cases", type=pathlib.Path, default=default_cases(), help="folder of the case folders; "
                        "default: cases in OPENCLOC_TEST_DATA, or in ../shared of the source tree")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these cases alone")
    parser.add_argument("--model", type=pathlib.Path, help="model directory with a tokenizer; else one is trained")
    parser.add_argument("--verbose", action="store_true", help="show what wrong cases printed and wrote")
    parser.add_argument("--reports", action="store_true", help="the public reports of make_reports.py instead")
    options = parser.parse_args()
    if options.reports:
        options.cases = pathlib.Path(tempfile.mkdtemp(prefix="opencloc-reports-"))
        make_reports.main(str(options.cases))
    options.binary = options.binary.resolve()
    if not options.cases.is_dir():
        print(f"skipped: no cases in {options.cases} (set OPENCLOC_TEST_DATA)")
        return 77
    names = sorted(path.parent.name for path in options.cases.glob("*/README.md"))
    names = [name for name in names if not options.only or name in options.only]
    if not names or not os.access(options.binary, os.X_OK):
        print(f"nothing to run: {len(names)} cases, program {options.binary}", file=sys.stderr)
        return 2
    bench = Bench(options)
    counts = {"right": 0, "wrong": 0, "not judged": 0, "skipped": 0}
    for name in names:
        verdict, line = judge(bench, name, options.verbose)
        counts[verdict] += 1
        print(line, flush=True)
    shutil.rmtree(bench.root, ignore_errors=True)
    if options.reports:
        shutil.rmtree(options.cases)
    unjudged = counts["not judged"] + counts["skipped"]
    print(f"{counts['right']} right, {counts['wrong']} wrong, {unjudged} not judged")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""`./x check`: the house rules over the whole project, clang-format over what changed.

check.py [RULE...] [--all] [--tidy] [--fix-format]
  RULE          some of the rules only (rules.py; `format` is one too); default: all
  --all         clang-format (and clang-tidy) over every file
  --tidy        clang-tidy too, over rooms without libtorch; some seconds a file
  --fix-format  `./x fmt`: let clang-format rewrite the changed files
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import rules
import source

ROOT = Path(__file__).resolve().parents[2]


def clang_format(files: list[Path], fix: bool) -> list[str]:
    """The complaints of clang-format, one line per place; with fix, rewrites the files instead."""
    names = [str(f.relative_to(ROOT)) for f in files if f.suffix in source.CPP]
    if not names:
        return []
    mode = ["-i"] if fix else ["--dry-run", "-Werror", "--ferror-limit=3"]
    command = ["xargs", "-0", "-n", "8", "-P", str(os.cpu_count()), "clang-format", *mode]
    done = subprocess.run(command, input="\0".join(names) + "\0", cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 123):
        return [f"clang-format: {done.stderr.strip()}"]
    return [line for line in done.stderr.splitlines() if ": error:" in line]


def clang_tidy(files: list[Path]) -> list[str]:
    """Complaints of clang-tidy about sources that build/floor (./x test base) knows how to compile."""
    database = ROOT / "build/floor"
    if not (database / "compile_commands.json").is_file():
        return ["clang-tidy: build/floor is missing; ./x test base makes it"]
    known = {entry["file"] for entry in json.loads((database / "compile_commands.json").read_text())}
    names = [str(f) for f in files if f.suffix == ".cpp" and str(f) in known and "_avx512" not in f.name]
    if not names:
        return []
    command = ["xargs", "-0", "-n", "1", "-P", str(os.cpu_count()), "clang-tidy", "-p", str(database), "--quiet"]
    done = subprocess.run(command, input="\0".join(names) + "\0", cwd=ROOT, capture_output=True, text=True)
    return sorted({line for line in done.stdout.splitlines() if ": error:" in line or ": warning:" in line})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rule", nargs="*", choices=[*rules.ALL, "format", []])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--tidy", action="store_true")
    parser.add_argument("--fix-format", action="store_true")
    options = parser.parse_args()

    files = source.project_files(ROOT)
    to_format = files if options.all else source.changed_files(ROOT)
    if options.fix_format:
        complaints = clang_format(to_format, fix=True)
        print(*complaints, sep="\n", end="\n" if complaints else "")
        return 1 if complaints else 0
    chosen = options.rule or [*rules.ALL, "format"]
    complaints = []
    for name in chosen:
        complaints += clang_format(to_format, fix=False) if name == "format" else rules.ALL[name](ROOT, files)
    if options.tidy:
        complaints += clang_tidy(to_format)
    print(*complaints, sep="\n", end="\n" if complaints else "")
    print(f"check: {', '.join(chosen)}: {len(complaints)} complaints")
    if not options.rule:
        print(f"check: {rules.sizes(ROOT, files)}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

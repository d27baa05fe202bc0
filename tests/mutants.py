#!/usr/bin/env python3
"""Changes the code a little, many times, and counts what the tests notice (docs/testing.md).

    cargo install cargo-mutants cargo-nextest --locked
    git worktree add --detach ../mutants && tests/mutants.py ../mutants results.jsonl

cargo-mutants lists the mutants; they are taken in the order of the SHA-256 of a seed and their name. Each is written into the worktree, which
keeps its build, and undone. The quick tests run first, up to the first failure; afterwards what they didn't notice meets all the others. A mutant that
doesn't compile doesn't count. Mutants that `results.jsonl` has already aren't run again: to repeat some, take their lines out.
"""

import argparse, collections, hashlib, json, os, re, resource, signal, subprocess, sys, time
from pathlib import Path

FILES = ["src/analysis/**", "src/cost/**", "src/quantity/workload.rs", "src/catalog/quantization.rs", "src/language/checkpoint.rs"]
# What notices most, and soon.
FIRST = "test(/^(diagnostics::(ok|cost|bind|shape|expect)|cli::(summ|memory|tables|every|some|a_layer|a_config|json)|fresh::trans|memory::|reference::|graph::[^a]|families::a_ch)/)"
# Each takes seconds: they come last.
SLOW = "test(/formulas_with_their_values|every_path_leads|many_nested|twenty_thousand|hundred_thousand|beyond_|great_many|any_text|check_takes|census::|every_family_is|index$/)"
# It reads the text of the sources: a patched file is no news.
NEVER = "test(/^floors::/)"
PROFILE = """
[profile.mutants]
inherits = "dev"
debug = 0

[profile.mutants.package."*"]
opt-level = 1
"""


def say(command, folder, timeout=None):
    """Runs a command with bounded memory: its exit code (None: it took too long) and what it said."""
    limit = lambda: (os.setsid(), resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)))
    env = os.environ | {"INSTA_UPDATE": "no", "CARGO_TARGET_DIR": str(folder / "target"), "CARGO_TERM_COLOR": "never", "NEXTEST_STATUS_LEVEL": "fail"}
    child = subprocess.Popen(command, cwd=folder, env=env, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limit)
    try:
        said, _ = child.communicate(timeout=timeout)
        return child.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return None, child.communicate()[0]


def mutated(text, mutant):
    """The text with the mutant in it, and as many lines as before: a build is quicker if nothing below has moved."""
    lines = text.splitlines(keepends=True)
    begin, end = (sum(map(len, lines[: at["line"] - 1])) + at["column"] - 1 for at in (mutant["span"]["start"], mutant["span"]["end"]))
    lost = text[begin:end].count("\n") - mutant["replacement"].count("\n")
    return text[:begin] + mutant["replacement"] + "\n" * lost + text[end:]


def outcome(folder, config, timeout, tests):
    """What becomes of the worktree as it stands: `caught` and by which test, `unviable`, `missed` or `timeout`."""
    for command in tests(["--config", config, "--locked"]):
        code, said = say(command, folder, timeout)
        if code is None:
            return "timeout", None
        if "could not compile" in said:
            return "unviable", (re.findall(r"^error.*", said, re.M) or [""])[0]
        if code != 0:
            failed = re.findall(r"(?:FAIL|SIG\w+|ABORT) \[.*?\]\s+(?:\(.*?\)\s+)?(.*)|^test (.*) \.\.\. FAILED", said, re.M)
            return "caught", next((a or b for a, b in failed), said[-300:])
    return "missed", None


def nextest(cargo, *those):
    return ["cargo", "nextest", "run", *cargo, "--cargo-profile", "mutants", *those]


# The first tests are for all mutants, the next for those that the first missed, and so on.
PASSES = [
    lambda cargo: [nextest(cargo, "--test", "it", "-E", FIRST)],
    lambda cargo: [nextest(cargo, "--lib", "--bins", "--tests", "-E", f"not ({FIRST} or {SLOW} or {NEVER})")],
    lambda cargo: [nextest(cargo, "--lib", "--bins", "--tests", "-E", SLOW), ["cargo", "test", "--doc", *cargo, "--profile", "mutants"]],
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worktree", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seed", default="11")
    parser.add_argument("--number", type=int, default=200, help="how many that compile")
    parser.add_argument("--timeout", type=int, default=180, help="seconds for a run of tests")
    asked = parser.parse_args()
    folder = asked.worktree.resolve()
    config = folder / "target" / "mutants.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(PROFILE)

    files = [word for file in FILES for word in ("--file", file)]
    mutants = json.loads(subprocess.check_output(["cargo", "mutants", "--list", "--json", "--no-config", *files], cwd=folder))
    mutants.sort(key=lambda mutant: hashlib.sha256(f"{asked.seed} {mutant['name']}".encode()).digest())
    known = [json.loads(line) for line in asked.results.read_text().splitlines()] if asked.results.exists() else []
    known = {result["name"]: result for result in known}
    for at, tests in enumerate(PASSES):
        count = collections.Counter()
        for mutant in mutants:
            if count.total() - count["unviable"] >= asked.number:
                break
            result = known.get(mutant["name"])
            if result is None or (result["outcome"] == "missed" and result["pass"] < at):
                result = known[mutant["name"]] = run(mutant, folder, str(config), asked.timeout, tests) | {"pass": at}
                with asked.results.open("a") as results:
                    results.write(json.dumps(result) + "\n")
                print(f"{result['outcome']:9} {result['seconds']:6} {mutant['name']}  {result['by'] or ''}", flush=True)
            count[result["outcome"]] += 1
        print(len(mutants), "mutants in all;", dict(count), flush=True)


def run(mutant, folder, config, timeout, tests):
    """Writes a mutant, looks at its outcome, undoes it."""
    start, file = time.time(), folder / mutant["file"]
    before = file.read_bytes()
    try:
        file.write_text(mutated(before.decode(), mutant))
        what, by = outcome(folder, config, timeout, tests)
    finally:
        file.write_bytes(before)
    return {"name": mutant["name"], "outcome": what, "by": by, "seconds": round(time.time() - start, 1)}


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs the program on strange files: models and configs with values, keys and layers changed, moved and doubled, through all of its commands.

    tests/strange.py target/release/layerspec --seconds 600 --seed 1 [--also FOLDER]

What ends by a signal or with a panic's code, or takes more than 4 s or 500 MB, is shown, with the file that did it. The last line says how many
runs there were.
"""
import argparse, copy, glob, json, os, random, shutil, subprocess, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 10**18, 2**63, 2**64, 2**70, 10**30, 0.5, 1e-9, 1e300, -0.0, "", "a", ".", "a.b", "a.0",
    "blocks.<layer>", "<layer>", "<layer", "<a>", "input", "*", "[0-3]", "é\u202e", "x" * 300, "1/0", "2 ^ 200", "if(true, 1, 2)",
    "find_last('aba', 'a', 3)", "len(<layers>)", [], {}, [1], [[]], [1] * 70, {"a": 1}, "float32", "<hidden_size>", "blocks.3", "layers.0", "0",
    "-1", "expected_experts(8, 2, 3)", "<past_len> * <seq_len>",
]
KEYS = (
    "name class parameters sub_layers repeat index parallel inputs hold when calls variables weights tied_to output use inline role no_grad dtype "
    "checkpoint quantization_config expect workload layers family shape"
).split()
COMMANDS = [
    "compile", "compile --phase train", "compile --phase decode --past 50", "compile --format json", "compile --expand --max-rows 20000",
    "compile --format markdown", "compile --format csv --max-rows 20000", "compile --by depth", "compile --weight-dtype *.0=int4",
    "compile --kernel eager --phase train --backend cuda", "compile --message-format json", "memory --phase train",
    "memory --phase decode --past 30", "memory --device h100-sxm --count 3", "summary", "tree", "check", "graph", "import", "import --explicit",
    "show --stage flat", "compare",
]


def places(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:60]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, at + (key,))


def find(value, at):
    for key in at:
        value = value[key]
    return value


def change(model, dice):
    model = copy.deepcopy(model)
    for _ in range(dice.choice([1, 1, 1, 2, 3, 6])):
        all_places = list(places(model))
        at = dice.choice(all_places)
        if not at:
            continue
        around, key, how = find(model, at[:-1]), at[-1], dice.random()
        try:
            if how < 0.4:
                around[key] = copy.deepcopy(dice.choice(VALUES))
            elif how < 0.5:
                del around[key]
            elif how < 0.6:
                around[key] = copy.deepcopy(find(model, dice.choice(all_places)))
            elif how < 0.75 and isinstance(around, dict):
                around[dice.choice(KEYS)] = copy.deepcopy(dice.choice(VALUES))
            elif how < 0.85 and isinstance(around, dict):
                around[dice.choice(KEYS)] = around.pop(key)
            elif how < 0.95 and isinstance(around, list):
                around.insert(key, copy.deepcopy(find(model, dice.choice(all_places))))
            elif isinstance(around[key], str):
                text = around[key]
                cut = dice.randrange(len(text) + 1)
                around[key] = text[:cut] + dice.choice("<|>|.|0|*|(| + 1|,|layer|é".split("|")) + text[cut:]
            elif isinstance(around[key], int) and not isinstance(around[key], bool):
                n = around[key]
                around[key] = dice.choice([n + 1, n - 1, n * 2, n // 2, -n, n * 1000])
        except (KeyError, TypeError, IndexError):
            pass  # What was to be changed went with an earlier change.
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--also", help="a folder with more files to begin from")
    args = parser.parse_args()
    dice = random.Random(args.seed)
    files = sorted(glob.glob(f"{ROOT}/models/*.json") + glob.glob(f"{ROOT}/tests/cases/*/*.json"))
    files += sorted(glob.glob(f"{args.also}/**/*.json", recursive=True)) if args.also else []
    models = []
    for file in files:
        with open(file, encoding="utf-8") as text:
            try:
                models.append(json.load(text))
            except ValueError:
                pass  # A case of malformed JSON.
    folder = tempfile.mkdtemp(prefix="strange-")
    path, runs, bad, end = f"{folder}/model.json", 0, 0, time.time() + args.seconds
    while time.time() < end:
        with open(path, "w", encoding="utf-8") as out:
            json.dump(change(dice.choice(models), dice), out)
        for command in dice.sample(COMMANDS, 4):
            name, *options = command.split()
            begun = time.time()
            child = subprocess.Popen(
                [args.program, name, path, *([path] if name == "compare" else []), *options],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            said = child.stderr.read()
            _, status, used = os.wait4(child.pid, 0)
            code, took, runs = os.waitstatus_to_exitcode(status), time.time() - begun, runs + 1
            if code not in (0, 1, 2, 3) or took > 4 or used.ru_maxrss > 500_000:
                bad += 1
                kept = f"{folder}/{bad}.json"
                shutil.copy(path, kept)
                print(f"{code}, {took:.1f} s, {used.ru_maxrss // 1024} MB: {command} {kept}: {said[:200]!r}", flush=True)
    print(f"{runs} runs, {bad} bad")


if __name__ == "__main__":
    main()

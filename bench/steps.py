"""What the experiments of this folder share: steps that are kept, so that a script goes on where it stood."""
import io
import json
import math
import os
import statistics
import subprocess
import tarfile


def run(command, log):
    """Runs a command, its output to `log`; stops the whole when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as sink:
        sink.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        sink.flush()
        if subprocess.run(list(map(str, command)), stdout=sink, stderr=sink).returncode != 0:
            raise SystemExit(f"failed, see {log}: {' '.join(map(str, command))}")


def output(command):
    """What a command writes to stdout; stops the whole when it fails."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return done.stdout


def rewrite_shards(source, out, change):
    """Copies shards. change(records): the records of a shard ([(stem, record)]), as they are to be: [(stem, record, alt-text
    for samples that have none, or None)]."""
    if (out / "done").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    for shard in sorted(source.glob("*.tar")):
        with tarfile.open(shard) as tar:
            members = [(m.name, tar.extractfile(m).read()) for m in tar]
        texts = {name[:-4] for name, _ in members if name.endswith(".txt")}
        new = {stem: (record, text) for stem, record, text in
               change([(name[:-5], json.loads(data)) for name, data in members if name.endswith(".json")])}
        with tarfile.open(out / shard.name, "w", format=tarfile.USTAR_FORMAT) as tar:
            def add(name, data):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            for name, data in members:
                if name.endswith(".json"):
                    record, text = new[name[:-5]]
                    if text is not None and name[:-5] not in texts:
                        add(name[:-5] + ".txt", text.encode())
                    data = json.dumps(record).encode()
                add(name, data)
    (out / "done").touch()


def once(path, make):
    """The JSON at `path`, made first where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(make()))
        os.rename(partial, path)
    return json.loads(path.read_text())


def file_name(text):
    return "".join(c if c.isalnum() else "_" for c in text)


def verdict(differences):
    """Of paired differences by seed: mean, and "higher" or "lower" (at least three seeds, the same sign with each, and a mean
    of more than two standard errors), else "not seen at this size"."""
    mean = statistics.mean(differences)
    if len(differences) < 3:
        return mean, "not enough seeds"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    same = all(d > 0 for d in differences) or all(d < 0 for d in differences)
    if same and abs(mean) > 2 * error:
        return mean, "higher" if mean > 0 else "lower"
    return mean, "not seen at this size"


def p_value(differences):
    """Two-sided p of the paired t-test that the mean of the differences is 0; None for fewer than two."""
    count = len(differences)
    if count < 2:
        return None
    error = statistics.stdev(differences) / math.sqrt(count)
    mean = abs(statistics.mean(differences))
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    freedom = count - 1
    # P(|T| < t) by the substitution T = sqrt(freedom) tan(a), over which the density is a power of a cosine.
    end, pieces = math.atan(mean / error / math.sqrt(freedom)), 2000
    heights = [math.cos(end * i / pieces) ** (freedom - 1) for i in range(pieces + 1)]
    area = end / pieces / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    norm = math.gamma((freedom + 1) / 2) / (math.sqrt(math.pi) * math.gamma(freedom / 2))
    return max(0.0, 1 - 2 * norm * area)


def merged(flags, others):
    """`flags`, and of `others` ("--name value" pairs) those that it does not give itself."""
    pairs = zip(others[::2], others[1::2])
    return flags + [word for name, value in pairs if name not in flags for word in (name, str(value))]


def value_at(results, path):
    """The value at "a/b/c" of nested dictionaries; None where there is none."""
    for key in path.split("/"):
        results = results.get(key) if isinstance(results, dict) else None
    return results


def figure(results, path, base=None):
    """(value - value at `base`, binomial error), both as shares, of a figure "evaluation/task/figure"; (None, None) where the
    run has none. The error is that of the `n` beside the figure, or above it; None without one."""
    value = value_at(results, path)
    if value is None:
        return None, None
    parts = path.split("/")
    own = "within_image_n" if parts[-1].startswith("within_image") else "n"
    counts = [value_at(results, "/".join(parts[:k] + [own])) for k in range(len(parts) - 1, 0, -1)]
    count = next((n for n in counts if n), None)
    share = min(max(value, 0), 1)
    error = math.sqrt(share * (1 - share) / count) if count else None
    return value - ((value_at(results, base) or 0) if base else 0), error


def found_seeds(folder_of, seeds):
    """{seed: results} of the runs that are there: results.json in folder_of(seed)."""
    paths = {seed: folder_of(seed) / "results.json" for seed in range(1, seeds + 1)}
    return {seed: json.loads(path.read_text()) for seed, path in paths.items() if path.exists()}


def difference(runs, others, path, base):
    """"+1.2 (p 0.01), higher": of runs - others, in per cent, by pairs of equal seeds; "-" without a pair."""
    pairs = []
    for seed in runs:
        ours, theirs = figure(runs[seed], path, base)[0], figure(others.get(seed, {}), path, base)[0]
        if ours is not None and theirs is not None:
            pairs.append(100 * (ours - theirs))
    if not pairs:
        return "-"
    mean, said = verdict(pairs)
    p = p_value(pairs)
    return f"{mean:+.1f}{'' if p is None else f' (p {p:.2g})'}, {said}"


def tables(runs, figures, compared_with, not_compared=()):
    """Two tables in Markdown. runs: {row: {seed: results}}. figures: (title, path, path of what is taken off, or None).
    compared_with(row): the row whose seeds each of its own is paired with, or None. not_compared: titles of figures that are
    facts of the data, without differences. Seconds of training are shown where all results have train_seconds."""
    titles = " | ".join(title for title, _, _ in figures)
    timed = all("train_seconds" in result for results in runs.values() for result in results.values())
    judged = [f for f in figures if f[0] not in not_compared]
    lines = ["Per cent: mean ± deviation over seeds (± binomial error of one run).\n",
             f"| row | seeds | {titles} |" + (" train s |" if timed else ""), "|---" * (len(figures) + 2 + timed) + "|"]
    compared = ["| row - other row | seeds | " + " | ".join(title for title, _, _ in judged) + " |",
                "|---" * (len(judged) + 2) + "|"]
    for row, results in runs.items():
        if not results:
            continue
        cells = []
        for _, path, base in figures:
            values = [pair for pair in (figure(r, path, base) for r in results.values()) if pair[0] is not None]
            if not values:
                cells.append("-")
                continue
            numbers = [value for value, _ in values]
            spread = statistics.stdev(numbers) if len(numbers) > 1 else 0
            errors = [error for _, error in values if error is not None]
            cell = f"{100 * statistics.mean(numbers):.1f} ± {100 * spread:.1f}"
            cells.append(cell + (f" (± {100 * statistics.mean(errors):.1f})" if errors else ""))
        if timed:
            cells.append(f"{statistics.mean(r['train_seconds'] for r in results.values()):.0f}")
        lines.append(f"| {row} | {len(results)} | " + " | ".join(cells) + " |")
        other = compared_with(row)
        if other is not None and runs.get(other):
            pairs = len(set(results) & set(runs[other]))
            differences = [difference(results, runs[other], path, base) for _, path, base in judged]
            compared.append(f"| {row} - {other} | {pairs} | " + " | ".join(differences) + " |")
    return "\n".join(lines + [""] + compared) + "\n"

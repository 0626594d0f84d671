"""What the experiments of this folder share: steps that are kept, so that a script goes on where it stood."""
import json
import math
import os
import statistics
import subprocess


def run(command, log):
    """Runs a command, its output to `log`; stops the whole when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as sink:
        sink.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        sink.flush()
        if subprocess.run(list(map(str, command)), stdout=sink, stderr=sink).returncode != 0:
            raise SystemExit(f"failed, see {log}: {' '.join(map(str, command))}")


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

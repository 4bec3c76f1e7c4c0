"""What reading a large cluster from files costs: time and peak memory of a whole command.

    python benchmarks/reading.py                              # audit of 10,000 namespaces, in each form
    python benchmarks/reading.py --namespaces 1000 --form yaml --command lint

Every command runs in a process of its own, as a user runs it; the peak is what the system reports of it
(getrusage, ru_maxrss). Forms: `yaml` is a file of documents, `list` one YAML List as `kubectl get -o yaml`
prints it, `json` the same as JSON, `lines` an object a line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.connectivity import cluster

FORMS: Final = ("yaml", "list", "json", "lines")


def written(objects: Iterable[dict[str, Any]], form: str) -> Iterator[str]:
    """The text of a file, piece by piece."""
    if form == "yaml":
        for item in objects:
            yield yaml.dump(item, Dumper=yaml.CSafeDumper, sort_keys=False) + "---\n"
    elif form == "list":
        yield "apiVersion: v1\nkind: List\nitems:\n"
        for item in objects:
            yield yaml.dump([item], Dumper=yaml.CSafeDumper, sort_keys=False)
    elif form == "json":
        yield '{"apiVersion": "v1", "kind": "List", "items": [\n'
        for number, item in enumerate(objects):
            yield (",\n" if number else "") + json.dumps(item, indent=2)
        yield "\n]}\n"
    else:
        yield from (json.dumps(item) + "\n" for item in objects)


def measure(command: str, file: Path) -> dict[str, Any]:
    """One command over one file: seconds, exit code, and its peak in MiB."""
    arguments = [sys.executable, "-m", "tenantprofile", *command.split(), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent / "operator")}
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "command": command,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": usage.ru_maxrss // 1024,
        "exit": process.returncode,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--policies", type=int, default=5, help="policies in each namespace, at most 10")
    parser.add_argument("--pods", type=int, default=10, help="pods in each namespace")
    parser.add_argument("--form", action="append", choices=FORMS, help="all of them unless given")
    parser.add_argument("--command", action="append", help="audit unless given; repeatable")
    given = parser.parse_args()
    print("form | MB | command | CPU s | peak MiB | exit")
    print("--- | ---: | --- | ---: | ---: | ---:")
    for form, command in itertools.product(given.form or FORMS, given.command or ["audit"]):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / ("all.yaml" if form in ("yaml", "list") else "all.json")
            with file.open("w") as stream:
                stream.writelines(written(cluster(given.namespaces, given.policies, given.pods, 0), form))
            size, figures = file.stat().st_size / 1e6, measure(command, file)
        print(
            f"{form} | {size:.0f} | {command} | {figures['cpu']} | {figures['peak_mib']} | {figures['exit']}",
            flush=True,
        )


if __name__ == "__main__":
    main()

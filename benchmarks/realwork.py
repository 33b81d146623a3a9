"""Work that people do: k-mers of a FASTA file, spectra of signals, the demo; from nothing to the last result.

The peers run the same functions, one call for each piece, with the chunks that suit them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import papympi
from benchmarks.harness import Row, Setting, compare, play
from benchmarks.jobs import ROOT, Job
from benchmarks.peers import MAPS
from benchmarks.small import WORKERS

GROUP = "real work"
K = 8
PIECE = 1 << 20
"""Bytes of one record of the FASTA file."""
LINE = 1 << 6
SIGNAL, WINDOW = 1 << 17, 1 << 10
"""Samples of a signal, and of a window of it."""


def read_record(place: tuple[str, int, int]) -> Any:
    """Return the bases of a record as numbers from 0 to 3; a place is a path, an offset and a length."""
    import numpy as np

    path, offset, length = place
    with Path(path).open("rb") as file:
        file.seek(offset)
        letters = np.frombuffer(file.read(length), dtype=np.uint8)
    return (letters[letters != ord("\n")] >> 1 & 3).astype(np.int64)


def count_kmers(place):
    """Return how often each k-mer stands in a record, by its number."""
    import numpy as np

    bases = read_record(place)
    numbers = np.zeros(len(bases) - K + 1, dtype=np.int64)
    for position in range(K):
        numbers = 4 * numbers + bases[position : position + len(numbers)]
    return np.bincount(numbers, minlength=4**K)


def write_fasta(path: Path, size: int) -> list[tuple[str, int, int]]:
    """Write about so many bytes of random records; return their places."""
    import numpy as np

    random, places, offset = np.random.default_rng(1), [], 0
    with path.open("wb") as file:
        for number in range(max(1, size // PIECE)):
            head = b">record%d\n" % number
            lines = random.choice(np.frombuffer(b"ACGT", dtype=np.uint8), (PIECE // LINE, LINE + 1))
            lines[:, -1] = ord("\n")
            file.write(head + lines.tobytes())
            places.append((str(path), offset + len(head), lines.size))
            offset += len(head) + lines.size
    return places


def find_spectrum(seed):
    """Return the mean spectrum of the windows of a generated signal."""
    import numpy as np

    signal = np.random.default_rng(seed).normal(size=SIGNAL)
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[:: WINDOW // 2]
    return np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)).mean(axis=0)


def analyse(path):
    """Return what the demo's nodes make of one file; None of a file that has no functions."""
    import stdlib_metrics as demo

    text = demo.source(path)
    if text is papympi.DROP:
        return None
    return demo.module(path, [demo.measured(function) for function in demo.function(text)])


def measure_kmers(peer: str, size: int) -> dict[str, float]:
    """Return MB a second of counting the k-mers of a FASTA file.

    Raises:
        ValueError: k-mers are missing.
    """
    places = write_fasta(Path(os.environ["TMPDIR"]) / "genome.fasta", size)
    begun = time.perf_counter()
    counts = sum(run_map(peer, count_kmers, places))
    seconds = time.perf_counter() - begun
    if counts.sum() != len(places) * (PIECE - K + 1) or (counts != sum(map(count_kmers, places))).any():
        raise ValueError("k-mers are missing")
    return {f"k-mers of a FASTA file of {size >> 20} MB": size / 1e6 / seconds}


def measure_spectra(peer: str, count: int) -> dict[str, float]:
    """Return signals a second.

    Raises:
        ValueError: a spectrum is wrong.
    """
    begun = time.perf_counter()
    found = list(run_map(peer, find_spectrum, range(count)))
    seconds = time.perf_counter() - begun
    if len(found) != count or any((found[i] != find_spectrum(i)).any() for i in (0, count // 2, count - 1)):
        raise ValueError("a spectrum is wrong")
    return {f"windowed FFT of {count} signals": count / seconds}


def measure_demo(peer: str, count: int) -> dict[str, float]:
    """Return files a second of the demo, on the first files of the standard library.

    Raises:
        ValueError: the results are wrong.
    """
    sys.path.insert(0, str(ROOT / "examples"))
    import stdlib_metrics as demo

    paths = sorted(demo.ROOT.glob("*.py"))[:count]
    begun = time.perf_counter()
    if peer == "papympi":
        pools = {"threads": "threads:2", "mpi": f"processes:{WORKERS}"}
        found = list(papympi.run({"path": paths}, targets=["module"], pools=pools, path=[str(ROOT / "examples")]))
    else:
        found = [each for each in run_map(peer, analyse, paths) if each is not None]
    seconds = time.perf_counter() - begun
    if found != [each for each in map(analyse, paths) if each is not None]:
        raise ValueError("the results are wrong")
    return {f"demo, {len(paths)} files": len(paths) / seconds}


def run_map(peer: str, function: Any, items: Any) -> Any:
    """Yield the results of a function for some items."""
    if peer == "papympi":
        yield from papympi.map(function, items, pool=f"processes:{WORKERS}", stride="auto")
        return
    with MAPS[peer](WORKERS) as spread:
        yield from spread(function, 1, items)


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    scale = setting.scale * (0.1 if setting.quick else 1)
    works = {
        "measure_kmers": {"size": max(2 * PIECE, int(200 * scale) * PIECE)},
        "measure_spectra": {"count": max(4, int(1000 * scale))},
        "measure_demo": {"count": max(4, int(200 * scale))},
    }
    peers = ["ProcessPoolExecutor.map", "Pool.imap"]
    peers += ["loky", "joblib"] if setting.peers == "all" and not setting.quick else []
    rows = []
    for work, given in works.items():
        contenders = {peer: Job(f"benchmarks.realwork:{work}", {"peer": peer, **given}) for peer in ("papympi", *peers)}
        figures = play(contenders, 1 if setting.quick else setting.slow_rounds)
        workload = next(iter(figures.reached.get("papympi", {work: []})))
        rows += [compare(figures, GROUP, workload, UNITS[work], ("papympi", peer)) for peer in peers]
    return rows


UNITS = {"measure_kmers": "MB/s", "measure_spectra": "signals/s", "measure_demo": "files/s"}

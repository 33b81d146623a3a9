"""Many short signals, transformed together: `vectorized=True` hands a whole batch to numpy.

    papympi run examples/signals.py --output peaks.csv

A node that is called once per item would spend its time in calls. `frequency` gets a list of up to `stride` signals and
returns as many results; keys, order and failures stay those of single items.
"""

from __future__ import annotations

import numpy as np

from papympi import node

RATE = 256


@node
def tone():
    """The frequency of each signal."""
    yield from (3 + number * 7 % 100 for number in range(200))


@node
def signal(tone):
    """One second of a noisy sine wave; the same noise for the same tone."""
    noise = np.random.default_rng(tone).normal(0, 0.5, RATE)
    return np.sin(2 * np.pi * tone * np.arange(RATE) / RATE) + noise


@node(vectorized=True, stride=32)
def frequency(signal):
    """The strongest frequency of each signal of a batch."""
    power = np.abs(np.fft.rfft(np.stack(signal)))
    return list(power.argmax(axis=1))


@node
def peak(tone, frequency):
    """What went in beside what was found."""
    return {"tone": tone, "found": frequency, "right": tone == int(frequency)}

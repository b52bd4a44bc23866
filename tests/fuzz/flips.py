"""Change bytes of shards, one place at a time: python tests/fuzz/flips.py FOLDER --flips 1000

Every change in an image's or a label's payload must be found by psp verify and named: the shard and
the sample.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from psp.data.manifest import read_manifest
from psp.data.verify import Checker, Chunk


def flip_all(folder, kind, rng, count, aligned=False):
    """Flip a random byte `count` times; return the places that were not found or not named.

    `aligned` turns four aligned bytes of 00 (or whatever stands there) into FF instead.
    """
    manifest = read_manifest(folder)
    places = [
        (split, entry) for split, record in manifest["splits"].items() for entry in record["shards"]
    ]
    missed = []
    for _ in range(count):
        split, entry = places[rng.integers(len(places))]
        path = folder / entry["file"]
        with h5py.File(path, "r") as file:
            base, total = file[kind]["bytes"].id.get_offset(), len(file[kind]["bytes"])
            offsets, names = file[kind]["offsets"][:], [name.decode() for name in file["name"]]
        if aligned:
            start = int(rng.integers(total // 4)) * 4
            start -= (base + start) % 4
            start, length = max(start, 0), 4
        else:
            start, length = int(rng.integers(total)), 1
        with path.open("r+b") as file:
            file.seek(base + start)
            before = file.read(length)
            after = b"\xff" * length if aligned else bytes([before[0] ^ 1 << rng.integers(8)])
            file.seek(base + start)
            file.write(after)
        if before != after:
            sample = names[int(np.searchsorted(offsets, start, side="right")) - 1]
            found = Checker(folder, manifest)(Chunk(split, entry, 0, len(names)))
            if not any(f"{path}: sample '{sample}'" in text for text in found):
                missed.append((path.name, start, sample, found))
        with path.open("r+b") as file:
            file.seek(base + start)
            file.write(before)
    return missed


def main():
    """Flip, and print what was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flips", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        for aligned in (False, True):
            missed = flip_all(options.folder, kind, rng, options.flips // 4, aligned)
            how = "aligned 32 bits to FFFFFFFF" if aligned else "one bit"
            print(f"{kind}, {how}: {options.flips // 4} changes, {len(missed)} not found")


if __name__ == "__main__":
    main()

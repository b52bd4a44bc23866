"""Bad input by the thousand for everything that reads files of others:

    PYTHONPATH=tests python tests/fuzz/readers.py --examples 2000
    PYTHONPATH=tests python tests/fuzz/readers.py --examples 2000 --only manifest weights

Each reader gets files of random bytes and good files that were damaged: bytes changed, inserted and
cut, values of JSON replaced. It may return something, or raise PspError in one line. Everything
else is a failure: another exception, more than 20 seconds, more than 1 GB of memory over what the
libraries take, a file that was not there before.
"""

import argparse
import contextlib
import copy
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from faults.commands import make_inputs
from faults.victims import Warm
from helpers.plugin import PLUGIN, write_metadata
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

SECONDS = 20  # for one file
MEMORY = 1 << 30

NASTY = [
    *(0, -1, 1 << 31, 10**9, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *(None, True, "", "x", "\0", "../../escaped", "/etc/passwd", "\x1b[2J", "7", "é" * 300),
    *([], {}, [[]], {"": {}}, [1, "2"], ["x"] * 3000),
]
DEEP = {"[": "]", '{"a":': "}"}


def damaged(good):
    """Return bytes that are like good ones, but for a few edits."""
    edit = st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "zero"]),
        st.floats(0, 1),
        st.integers(1, 64),
        st.binary(max_size=16),
    )
    # The bytes are made when they are read: hypothesis keeps what it has generated.
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: lambda: _edited(good, edits))


def _edited(good, edits):
    data = bytearray(good)
    for kind, where, count, new in edits:
        at = int(where * len(data))
        if kind == "flip":
            for k in range(at, min(at + len(new), len(data))):
                data[k] ^= new[k - at]
        elif kind == "cut":
            del data[at : at + count**2]
        elif kind == "insert":
            data[at:at] = new
        elif kind == "repeat":
            data[at:at] = data[at : at + count] * count
        else:
            data[at : at + count] = bytes(min(count, len(data) - at))
    return bytes(data)


def json_like(good):
    """Return JSON that is like a good one, with one value replaced, removed or added."""
    value = json.loads(good)

    def change(choice):
        places, nasty, kind, deep = choice
        changed = copy.deepcopy(value)
        parent, key, inner = None, None, changed
        for place in places:
            if isinstance(inner, dict | list) and inner:
                keys = list(inner) if isinstance(inner, dict) else range(len(inner))
                parent, key = inner, keys[place % len(keys)]
                inner = parent[key]
        if parent is None:
            changed = nasty
        elif kind == "remove":
            del parent[key]
        elif kind == "add" and isinstance(parent, dict):
            parent[str(nasty)[:50]] = nasty
        else:
            parent[key] = nasty
        text = json.dumps(changed)
        if deep:
            opened = "[" * 100_000
            text = text.replace("1", f"{opened}{']' * 100_000}", 1)
        return text.encode()

    def changed(choice):
        return lambda: change(choice)

    places = st.lists(st.integers(0, 40), max_size=7)
    kinds = st.sampled_from(["replace", "remove", "add"])
    rare = st.integers(0, 30).map(lambda number: number == 0)
    return st.tuples(places, st.sampled_from(NASTY), kinds, rare).map(changed)


def any_of(good, json_too=False):
    """Return the strategy for a file: arbitrary bytes, or a damaged good one."""
    choices = [damaged(good), damaged(good), st.binary(max_size=300)]
    return st.one_of(*choices, json_like(good), json_like(good)) if json_too else st.one_of(choices)


LIST_CELLS = st.text(st.sampled_from("ab19._-/\\,;\t \"'#|\n\r\0é\ufeff\x1b"), max_size=80).flatmap(
    lambda text: st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"]).map(
        lambda name: text.encode(name, "replace")
    )
)


class Readers:
    """The readers by name, each with its strategy and a function of a file's bytes."""

    def __init__(self, inputs, room):
        self.inputs, self.room = inputs, room
        for name in ("shards", "run"):
            shutil.copytree(inputs / name, room / name)

    def table(self):
        """Return name: (strategy, function)."""
        shards, run, room = self.room / "shards", self.room / "run", self.room
        good = {
            "manifest": (shards / "manifest.json").read_bytes(),
            "shard": (shards / "val-00000.h5").read_bytes(),
            "config": (run / "config.json").read_bytes(),
            "metrics": (run / "metrics.jsonl").read_bytes(),
            "weights": (run / "last.safetensors").read_bytes(),
            "checkpoint": (run / "checkpoints/00000006.pt").read_bytes(),
            "card": (self.inputs / "tiny.toml").read_bytes(),
            "picture": (self.inputs / "photos/0.png").read_bytes(),
        }
        pictures = [_encoded(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM")]
        labels = [_encoded(kind, "P") for kind in ("PNG", "BMP", "GIF", "TIFF")]
        return {
            "list": (st.one_of(LIST_CELLS, st.binary(max_size=200)), self.list),
            "card": (any_of(good["card"]), self.at(room / "own.toml", self.card)),
            "manifest": (
                any_of(good["manifest"], True),
                self.at(shards / "manifest.json", self.shards),
            ),
            "shard": (any_of(good["shard"]), self.at(shards / "val-00000.h5", self.shards)),
            "shard-card": (json_like(_card_of(shards)), self.shard_card),
            "config": (any_of(good["config"], True), self.at(run / "config.json", self.run)),
            "metrics": (any_of(good["metrics"]), self.at(run / "metrics.jsonl", self.run)),
            "weights": (any_of(good["weights"]), self.at(run / "last.safetensors", self.weights)),
            "weights-header": (json_like(_header_of(good["weights"])), self.weights_header),
            "checkpoint": (
                damaged(good["checkpoint"]),
                self.at(run / "checkpoints/00000006.pt", self.checkpoint),
            ),
            "foreign": (any_of(good["checkpoint"]), self.at(room / "other.pth", self.foreign)),
            "caffe": (st.binary(max_size=400), self.at(room / "o.caffemodel", self.foreign)),
            "picture": (st.one_of(*map(any_of, pictures)), self.picture),
            "label": (st.one_of(*map(any_of, labels)), self.label),
            "settings": (any_of(_settings(), True), self.at(room / "settings.json", self.settings)),
        }

    def at(self, path, read):
        """Return a function that puts bytes at a path, reads, and puts back what was there."""

        def call(data):
            before = path.read_bytes() if path.exists() else None
            path.write_bytes(data)
            try:
                read(path)
            finally:
                path.write_bytes(before) if before is not None else path.unlink()

        return call

    def list(self, data):
        from psp.lists.read import read_list
        from psp.predict import inputs

        for read in (
            lambda: inputs.read_list(data),
            lambda: self.at(self.room / "l", read_list)(data),
        ):
            refused(read)

    def card(self, path):
        from psp.data.cardfile import read_card

        refused(lambda: read_card(path))

    def shards(self, path):
        from psp.data.shards import ShardSplit
        from psp.data.statistics import read_statistics
        from psp.data.verify import verify

        refused(lambda: read_statistics(path.parent))
        refused(lambda: verify(path.parent))

        def read():
            split = ShardSplit(path.parent, "val")
            try:
                for index in range(min(len(split), 5)):
                    refused(lambda index=index: (split.image(index), split.label(index)))
            finally:
                split.close()

        refused(read)

    def shard_card(self, data):
        import h5py

        path = self.room / "shards/val-00000.h5"

        def change(path):
            with contextlib.suppress(ValueError, OSError), h5py.File(path, "r+") as file:
                for key in ("card", "conversion"):
                    file.attrs[key] = np.bytes_(data[:60000])
            self.shards(path)

        self.at(path, change)(path.read_bytes())

    def run(self, path):
        from psp.run_state import run_states
        from psp.runs import Run, model_at

        run = Run(path.parent)
        for read in (run.training_config, run.last_validation, lambda: model_at(path.parent)):
            refused(read)
        refused(lambda: run_states(path.parent.parent))

    def weights(self, path):
        from psp.model.weights import load_network, read_header

        refused(lambda: read_header(path))
        refused(lambda: load_network(path))

    def weights_header(self, data):
        path = self.room / "run/last.safetensors"
        good = path.read_bytes()
        length = int.from_bytes(good[:8], "little")
        header = json.loads(good[8 : 8 + length])
        header["__metadata__"]["psp"] = data.decode()
        text = json.dumps(header).encode()
        changed = len(text).to_bytes(8, "little") + text + good[8 + length :]
        self.at(path, self.weights)(changed)

    def checkpoint(self, path):
        from psp.train.checkpoint import load_checkpoint

        refused(lambda: load_checkpoint(path.parent))

    def foreign(self, path):
        from psp.data.cardfile import read_card
        from psp.zoo.import_weights import import_weights

        card = read_card(self.inputs / "tiny.toml")
        refused(lambda: import_weights(path, self.room / "out.safetensors", card))
        (self.room / "out.safetensors").unlink(missing_ok=True)

    def picture(self, data):
        from psp.images.pictures import check_image, decode_image
        from psp.predict.photos import decode_photo

        for read in (check_image, decode_image, decode_photo):
            refused(lambda read=read: read(data, "a picture"))

    def label(self, data):
        from psp.images.labels import decode_color_label, decode_label, label_palette

        # The palette is asked for of files that have been decoded.
        refused(lambda: (decode_label(data, "a label"), label_palette(data)))
        refused(lambda: decode_color_label(data, "a label"))

    def settings(self, path):
        from psp.predict.folder import is_predictions
        from psp.predict.settings import read_settings

        refused(lambda: read_settings(path.parent))
        refused(lambda: is_predictions(path.parent))


def refused(read):
    """Read; a PspError of one line is right."""
    from psp.errors import PspError

    try:
        read()
    except PspError as error:
        assert str(error).strip() and "\n" not in str(error).strip(), repr(str(error))


def _encoded(kind, mode="RGB"):
    pixels = np.random.default_rng(1).integers(0, 9, (12, 17, 3), np.uint8)
    picture = Image.fromarray(pixels if mode == "RGB" else pixels[..., 0])
    if mode == "P":
        picture.putpalette(list(range(256)) * 3)
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def _card_of(shards):
    return json.dumps(json.loads((shards / "manifest.json").read_bytes())["card"])


def _header_of(weights):
    length = int.from_bytes(weights[:8], "little")
    return json.loads(weights[8 : 8 + length])["__metadata__"]["psp"]


def _settings():
    from psp.predict.settings import Settings

    made = Settings(
        "w", "0" * 64, {"name": "torch", "max_side": None}, "fp32", "tiny", 1, ("a", "b")
    )
    return json.dumps(made.to_dict()).encode()


def run_reader(name, strategy, read, examples, room):
    """Run a reader on so many files. Raises for the smallest that is not right."""
    before = sorted(map(str, room.parent.rglob("*")))

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def check(data):
        data = data() if callable(data) else data
        signal.alarm(SECONDS)
        try:
            read(data)
        finally:
            signal.alarm(0)
        assert sorted(map(str, room.parent.rglob("*"))) == before, "it left a file"

    begin, before_memory = time.monotonic(), memory("VmData")
    check()
    grown = (memory("VmData") - before_memory) / 1e6
    seconds = time.monotonic() - begin
    print(f"{name}: {examples} files in {seconds:.0f} s, {grown:.0f} MB more", flush=True)


def memory(what):
    """Return a figure of this process's memory in bytes, of /proc."""
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) << 10


def limit_memory():
    """Allow this process MEMORY more than it has."""
    limit = memory("VmData") + MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    signal.signal(signal.SIGALRM, _hangs)


def _hangs(number, frame):
    raise AssertionError(f"more than {SECONDS} seconds")


def main():
    """Run the readers, and say which failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, failed = Path(temporary), []
        (folder / "warm/site").mkdir(parents=True)
        write_metadata(folder / "warm/site")
        (folder / "inputs").mkdir()
        warm = Warm(folder / "warm")
        make_inputs(folder / "inputs", warm)
        warm.close()
        sys.path[:0] = [str(folder / "warm/site"), str(PLUGIN)]
        room = folder / "room"
        room.mkdir()
        os.chdir(room)
        table = Readers(folder / "inputs", room).table()
        import psp.predict.pipeline
        import psp.train.loop  # noqa: F401 - so that what libraries take does not count

        for name, (strategy, read) in table.items():
            if asked.only and name not in asked.only:
                continue
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    limit_memory()
                    run_reader(name, strategy, read, asked.examples, room)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            if os.waitpid(child, 0)[1]:
                failed.append(name)
        os.chdir("/")
    print(f"failed: {', '.join(failed)}" if failed else "all readers are right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

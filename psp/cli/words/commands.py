"""Commands of other programs, and the nearest ones of psp."""

import re
from pathlib import Path

from psp.errors import nearest

USE = {
    "prepare": "psp prepare CARD RAW converts a data set, psp prepare PHOTOS MASKS your own",
    "train": "psp train SHARDS trains a network",
    "resume": "psp train SHARDS --resume continues a training",
    "evaluate": "psp evaluate MODEL scores a network on a labeled split",
    "predict": "psp predict PICTURES -m MODEL writes label maps of pictures",
    "convert": "psp prepare converts data sets, psp import weights of other programs, psp export "
    "writes ONNX",
    "import": "psp import FILE OUT converts weights of other programs",
    "export": "psp export MODEL OUT.onnx writes ONNX",
    "list": "psp runs lists your trainings, psp models published weights, psp cards data sets",
    "models": "psp models lists published weights, which are fetched at their first use",
    "cards": "psp cards lists the data sets, and says where to get them",
    "inspect": "psp inspect THING shows what shards or a model hold",
    "report": "psp report RUN writes a page with scores, curves, confusion matrix and pictures",
    "compare": "psp compare RUN RUN puts evaluations side by side",
    "verify": "psp verify SHARDS checks the shards, psp doctor this machine",
    "doctor": "psp doctor checks this machine",
    "recipe": "psp recipe show DATA shows every setting of a training",
    "version": "psp --version",
    "help": "psp --help lists the commands",
}
WORDS = {
    "evaluate": "val valid validate validation test eval score benchmark metrics miou accuracy",
    "predict": "detect segment infer inference seg run apply label tag mask image video classify "
    "annotate forward track",
    "train": "fit finetune fine-tune learn pretrain training tune start",
    "resume": "resume continue",
    "prepare": "prep preprocess data build make shard pack ingest dataset prepare-data",
    "convert": "convert conv transform",
    "list": "list ls all experiments history status",
    "models": "model zoo pretrained weights download fetch get pull hub",
    "cards": "card datasets data-sets sets new init",
    "inspect": "info show summary describe stat stats view visualize browse print cat",
    "report": "plot plots curves html confusion confusion-matrix analyze analyze-logs dashboard",
    "compare": "diff versus vs rank ranking leaderboard compare-runs",
    "verify": "check validate-data fsck test-data",
    "doctor": "checks env collect-env system diagnose selftest health",
    "recipe": "config cfg settings hyp hparams default-cfg copy-cfg",
    "export": "onnx deploy save tensorrt torchscript",
    "import": "load migrate",
    "version": "version",
    "help": "help usage man",
}
MEANT = {word: use for use, words in WORDS.items() for word in words.split()}


def command_answer(word: str, known: list[str]) -> str:
    """Return the error for an unknown command, with the nearest one of psp."""
    start = f"psp has no command '{word}'"
    folded = word.casefold().replace("_", "-")
    if folded in MEANT:
        return f"{start}: {USE[MEANT[folded]]}."
    if folded in known:
        return f"{start}. Did you mean '{folded}'?"
    if ("/" in word or "." in word) and Path(word).exists():
        return f"{start}. If these are pictures: psp predict {word}; what it is: psp inspect {word}"
    near = nearest(folded, known)
    if not near and (word_near := re.search("'(.*)'", nearest(folded, MEANT))):
        return f"{start}: {USE[MEANT[word_near[1]]]}."
    return f"{start}.{near} All commands: psp --help"

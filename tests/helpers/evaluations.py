"""Stored evaluations without a network: random labels, and predictions that are wrong in places."""

import numpy as np
import torch

from psp.evaluate.boundary import boundary_counts
from psp.evaluate.count import count
from psp.evaluate.evaluation import Evaluation
from psp.evaluate.shown import SIDES, Candidates, ShownPicture
from psp.evaluate.tally import Tally
from psp.files import write_json
from psp.images.encoding import encode_jpeg, encode_label
from psp.images.resize import shrunk_labels
from psp.model.architecture import Architecture
from psp.model.procedure import Procedure
from psp.model.weights import Header
from psp.runs import Model

CROP = 41


def evaluation(
    path,
    *,
    classes=9,
    names=None,
    pictures=5,
    size=(40, 56),
    seed=0,
    wrong=0.3,
    data="d" * 64,
    procedure=None,
    class_names=None,
    absent=0,
):
    """Return an Evaluation to be stored at `path`, and its pictures to be shown.

    The last `absent` classes are neither labeled nor predicted.
    """
    rng = np.random.default_rng(seed)
    tally, candidates, files = Tally(classes), Candidates(pictures), []
    names = names or [f"picture{number}" for number in range(pictures)]
    for index, name in enumerate(names):
        blocks = rng.integers(0, classes - absent, (-(-size[0] // 8), -(-size[1] // 8)))
        target = blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]].astype(np.uint8)
        prediction = np.where(
            rng.random(size) < wrong * (index + 1) / pictures,
            (target + 1) % (classes - absent),
            target,
        ).astype(np.uint8)
        target[:, :2] = 255
        confusion = count(torch.from_numpy(target), torch.from_numpy(prediction), classes)
        tally.add(index, name, confusion.numpy(), boundary_counts(target, prediction, classes))
        candidates.add(tally.pictures[-1], shrunk_labels(prediction, SIDES[0]))
        photo = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        files.append((encode_jpeg(photo), encode_label(target), encode_label(prediction)))
    shown = [
        ShownPicture(names[item.index], why, *files[item.index])
        for why, item in candidates.chosen(tally.pictures)
    ]
    class_names = class_names or tuple(f"class {number}" for number in range(classes))
    result = Evaluation(
        tally=tally,
        header=_header(class_names, data),
        procedure=procedure or Procedure(crop=CROP, flip=True),
        model=Model(path.with_name("best.safetensors"), None, "best"),
        weights_sha256=f"{seed:064x}",
        data_fingerprint=data,
        shards={"val-00000.h5": data},
        dataset="tiny",
        split="val",
        images=pictures,
        precision="fp32",
        saved=path,
    )
    return result, shown


def stored(path, **how):
    """Store an evaluation as psp evaluate does, without a report. Returns its pictures."""
    result, shown = evaluation(path, **how)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result.to_dict(), tables=True)
    return shown


def _header(names, data):
    palette = tuple((37 * i % 256, 91 * i % 256, 200 - i % 200) for i in range(len(names)))
    return Header(
        architecture=Architecture(classes=len(names)),
        classes=tuple(names),
        palette=palette,
        dataset="tiny",
        data=data,
        crop=CROP,
        base_size=None,
        step=7,
    )

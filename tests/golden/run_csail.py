"""What CSAIL's own code computes for networks of known weights, as a file of results.

    git clone https://github.com/CSAILVision/semantic-segmentation-pytorch csail
    python tests/golden/run_csail.py csail tests/golden/csail.npz

The results are from its commit 8f27c9b97d2c. Its data set, encoder, decoder and segmentation module
are run on a CPU; of each case the labels are kept, and the probabilities of some pixels.
tests/golden/test_csail.py compares psp with them.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from csail_cases import CASES, CLASSES, NETWORKS, STEP
from PIL import Image
from seeded import picture, values


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(options.checkout))
    torch.set_num_threads(1)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            scores = computed(case, Path(folder))
            results[f"{name}/labels"] = scores.argmax(0).astype(np.uint8)
            results[f"{name}/probabilities"] = scores[:, ::STEP, ::STEP].astype(np.float32)
            print(name, scores.shape, np.bincount(scores.argmax(0).ravel(), minlength=CLASSES))
    np.savez_compressed(options.out, **results)


def computed(case, folder):
    """Return a case's probabilities (classes, H, W), summed over the sizes as in its eval.py."""
    from mit_semseg.dataset import ValDataset

    network, (seed, height, width), short_sides, longest = case
    Image.fromarray(picture(seed, height, width)).save(folder / "picture.png")
    Image.fromarray(np.zeros((height, width), np.uint8)).save(folder / "labels.png")
    record = {"fpath_img": "picture.png", "fpath_segm": "labels.png"}
    sizes = SimpleNamespace(imgSizes=short_sides, imgMaxSize=longest, padding_constant=8)
    data = ValDataset(str(folder), [record], sizes)[0]
    module = segmentation(network, folder)
    scores = torch.zeros(1, CLASSES, height, width)
    with torch.no_grad():
        for image in data["img_data"]:
            scores += module({"img_data": image}, segSize=(height, width)) / len(short_sides)
    return scores[0].numpy()


def segmentation(name, folder):
    """Return CSAIL's network as its ModelBuilder builds it, with the weights of a seed."""
    from mit_semseg.models import ModelBuilder, SegmentationModule
    from mit_semseg.models.models import PPMDeepsup, ResnetDilated, resnet

    depth, seed = NETWORKS[name]
    deepest = 2048 if depth >= 50 else 512
    plain = getattr(resnet, f"resnet{depth}")(pretrained=False)
    parts = [ResnetDilated(plain, dilate_scale=8), PPMDeepsup(num_class=CLASSES, fc_dim=deepest)]
    paths = [folder / "encoder.pth", folder / "decoder.pth"]
    for part, path in zip(parts, paths, strict=True):
        shapes = {key: tuple(tensor.shape) for key, tensor in part.state_dict().items()}
        tensors = {key: torch.from_numpy(array) for key, array in values(shapes, seed).items()}
        torch.save(tensors, path)
    encoder = ModelBuilder.build_encoder(f"resnet{depth}dilated", deepest, str(paths[0]))
    decoder = ModelBuilder.build_decoder("ppm_deepsup", deepest, CLASSES, str(paths[1]), True)
    return SegmentationModule(encoder, decoder, None).eval()


if __name__ == "__main__":
    main()

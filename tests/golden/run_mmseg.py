"""What mmsegmentation itself computes for networks of known weights, as a file of results.

    python3 -m venv mmseg && mmseg/bin/pip install torch onedl-mmsegmentation==1.4.2 onedl-mmcv
    mmseg/bin/python tests/golden/run_mmseg.py tests/golden/mmseg.npz

The first line needs 6 GB. mmsegmentation is run by its own pipeline, segmentor and test-time
augmentation, on a CPU; of each case the labels are kept, and the probabilities of some pixels.
tests/golden/test_mmseg.py compares psp with them.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine import ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg_cases import CASES, CLASSES, NETWORKS, PICTURES, RATIOS, STEP
from seeded import picture, values


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    init_default_scope("mmseg")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            labels, probabilities = computed(case, Path(folder) / "picture.png")
            results[f"{name}/labels"] = labels.astype(np.uint8)
            results[f"{name}/probabilities"] = probabilities[:, ::STEP, ::STEP].astype(np.float32)
            print(name, labels.shape, np.bincount(labels.ravel(), minlength=CLASSES))
    np.savez_compressed(out, **results)


def computed(case, path):
    """Return a case's labels (H, W) and probabilities (classes, H, W)."""
    network, image, size, mode, crop, stride, augmented = case
    cv2.imwrite(str(path), picture(*PICTURES[image])[:, :, ::-1])
    model = segmentor(network, mode, crop, stride)
    load, pack = {"type": "LoadImageFromFile"}, {"type": "PackSegInputs"}
    if not augmented:
        resize = {"type": "Resize", "scale": size, "keep_ratio": True}
        data = pseudo_collate([Compose([load, resize, pack])({"img_path": str(path)})])
        with torch.no_grad():
            (found,) = model.test_step(data)
        return found.pred_sem_seg.data[0].numpy(), found.seg_logits.data.softmax(0).numpy()
    resizes = [{"type": "Resize", "scale_factor": r, "keep_ratio": True} for r in RATIOS]
    flips = [{"type": "RandomFlip", "prob": p, "direction": "horizontal"} for p in (0.0, 1.0)]
    views = {"type": "TestTimeAug", "transforms": [resizes, flips, [pack]]}
    data = pseudo_collate([Compose([load, views])({"img_path": str(path)})])
    augmenting = MODELS.build({"type": "SegTTAModel", "module": model})
    kept, merge = [], augmenting.merge_preds

    def merge_and_keep(samples):
        kept.extend(sample.seg_logits.data.softmax(0) for sample in samples[0])
        return merge(samples)

    augmenting.merge_preds = merge_and_keep
    with torch.no_grad():
        (found,) = augmenting.test_step(data)
    assert found.pred_sem_seg.data.ndim == 3 and len(kept) == 2 * len(RATIOS)
    return found.pred_sem_seg.data[0].numpy(), (sum(kept) / len(kept)).numpy()


def segmentor(name, mode, crop, stride):
    """Return mmsegmentation's PSPNet as its configs build it, with the weights of a seed."""
    depth, align_corners, seed = NETWORKS[name]
    deepest, width, aux = (2048, 512, 256) if depth >= 50 else (512, 128, 64)
    norm = {"type": "BN", "requires_grad": True}
    test = {"mode": mode}
    if mode == "slide":
        test |= {"crop_size": crop[::-1], "stride": stride[::-1]}
    common = {"num_classes": CLASSES, "norm_cfg": norm, "align_corners": align_corners}
    model = MODELS.build(
        {
            "type": "EncoderDecoder",
            "data_preprocessor": {
                "type": "SegDataPreProcessor",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
                "bgr_to_rgb": True,
                "pad_val": 0,
                "seg_pad_val": 255,
                "size": (512, 512),
            },
            "backbone": {
                "type": "ResNetV1c",
                "depth": depth,
                "num_stages": 4,
                "out_indices": (0, 1, 2, 3),
                "dilations": (1, 1, 2, 4),
                "strides": (1, 2, 1, 1),
                "norm_cfg": norm,
                "norm_eval": False,
                "style": "pytorch",
                "contract_dilation": True,
            },
            "decode_head": {
                "type": "PSPHead",
                "in_channels": deepest,
                "in_index": 3,
                "channels": width,
                "pool_scales": (1, 2, 3, 6),
                "dropout_ratio": 0.1,
                **common,
            },
            "auxiliary_head": {
                "type": "FCNHead",
                "in_channels": deepest // 2,
                "in_index": 2,
                "channels": aux,
                "num_convs": 1,
                "concat_input": False,
                "dropout_ratio": 0.1,
                **common,
            },
            "train_cfg": {},
            "test_cfg": ConfigDict(test),
        }
    )
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    tensors = {key: torch.from_numpy(array) for key, array in values(shapes, seed).items()}
    model.load_state_dict(tensors, strict=True)
    return model.eval()


if __name__ == "__main__":
    main()

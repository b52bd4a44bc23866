"""Inference against the authors' PyTorch code, in one run: python tests/benchmarks/infer.py

--authors is a checkout of hszhao/semseg, whose test procedure then runs beside ours with the same
weights; without it, a plain form of the same arithmetic does. Both run in turns; printed are the
medians of the turns' ratios, by the clock and by the processor's time. The processor's time is the
steadier one on a machine with other work, if waiting threads sleep: OMP_WAIT_POLICY=passive.

    window    one crop with its mirrored view, 150 classes, to labels: float32 and, where the
              processor has it, bfloat16; with the largest difference of the probabilities
    tail      what comes after the network alone
    whole     (--whole) a picture at the paper's six scales with flip
    model     (--model M --pictures DIR) how many labels of bfloat16 are those of float32
    huge      (--huge SIDE) peak memory of a square picture of SIDE x SIDE to labels
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from psp.device import pick_inference_precision
from psp.model.architecture import Architecture
from psp.model.inference import SlidingWindow, sliding_window
from psp.model.preprocessing import IMAGENET
from psp.model.procedure import PAPER_SCALES, Procedure
from psp.model.pspnet import Logits, build, upsample
from psp.zoo.importers.semseg import read_semseg

CPU = torch.device("cpu")


def spread(network, classifier):
    """Give batch norms statistics that are not the identity, and classes scores that differ."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.6, 1.4)
            module.weight.data.uniform_(0.3, 0.7)
    values = torch.randn_like(classifier.weight)
    classifier.weight.data = 8 * (values - values.mean(1, keepdim=True)) / values.shape[1] ** 0.5


def plain_procedure(network):
    """The same arithmetic as the authors', written plainly: one window at a time, whole maps."""

    def window(image):
        pixels = IMAGENET(torch.from_numpy(image)[None]).contiguous()
        logits = network(torch.cat([pixels, pixels.flip(3)])).main
        found = upsample(logits, image.shape[:2]).softmax(1)
        return ((found[0] + found[1].flip(2)) / 2).numpy().transpose(1, 2, 0)

    return window, None


def authors_procedure(folder, network, device=CPU):
    """Their code on a device: `net_process` and `scale_process` of tool/test.py."""
    sys.path.insert(0, str(folder))
    if device.type == "cpu":
        torch.Tensor.cuda = lambda self, *_: self  # theirs knows GPUs alone
    from tool import test as theirs

    resize = theirs.cv2.resize

    def by_parts(image, size, interpolation):
        """OpenCV 5 takes 128 channels at most, theirs has 150."""
        parts = np.split(image, range(100, image.shape[2], 100), axis=2)
        return np.concatenate(
            [resize(part, size, interpolation=interpolation) for part in parts], 2
        )

    theirs.cv2.resize = by_parts
    mean, std = list(IMAGENET.mean), list(IMAGENET.std)

    def window(image):
        return theirs.net_process(network, image.astype(np.float32), mean, std)

    def whole(image, procedure, classes):
        height, width = image.shape[:2]
        total = np.zeros((height, width, classes))
        for scale in procedure.scales:
            long = round(scale * procedure.base_size)
            size = [round(long / max(height, width) * side) for side in (width, height)]
            scaled = by_parts(image.astype(np.float32), size, theirs.cv2.INTER_LINEAR)
            crop = procedure.crop
            total += theirs.scale_process(
                network, scaled, classes, crop, crop, height, width, mean, std
            )
        return total / len(procedure.scales)

    return window, whole


def networks(options):
    """Return the reference's network and ours, with the same weights."""
    torch.manual_seed(0)
    if options.authors is None:
        network = build(Architecture(classes=options.classes, stem="deep")).eval()
        spread(network, network.head.classifier)
        network.use_plain_head(True)
        return network, network
    sys.path.insert(0, str(options.authors))
    from model.pspnet import PSPNet as Theirs

    network = Theirs(layers=50, classes=options.classes, pretrained=False).eval()
    spread(network, network.cls[4])
    found = read_semseg(network.state_dict())
    ours = build(found.architecture).eval()
    ours.load_state_dict(found.tensors)
    return network, ours


def measure(calls, runs, warm=False):
    """Run the calls in turns; return {name: (result, [seconds], [processor seconds])}.

    The first turn is not counted unless all is warm.
    """
    found = {name: [None, [], []] for name in calls}
    for run in range(warm, runs + 1):
        for name, call in calls.items():
            clock, processor = time.perf_counter(), time.process_time()
            found[name][0] = call()
            if run:
                found[name][1].append(time.perf_counter() - clock)
                found[name][2].append(time.process_time() - processor)
    return found


def report(title, found):
    """Print each call against the first."""
    (reference, base, base_cpu), *_ = found.values()
    for name, (result, seconds, processor) in found.items():
        ratio = statistics.median(a / b for a, b in zip(base, seconds, strict=True))
        cpu = statistics.median(a / b for a, b in zip(base_cpu, processor, strict=True))
        line = (
            f"{title} · {name}: {statistics.median(seconds):.2f} s, {ratio:.2f}x · "
            f"processor {statistics.median(processor):.2f} s, {cpu:.2f}x"
        )
        if result is not reference:
            same = (result == reference).mean()
            line += f" · the same label in {100 * same:.3f}% of the pixels"
        print(line, flush=True)


def tail(options):
    """Upsampling, softmax, average and argmax alone: whole maps one after the other, and ours."""
    side = -(-options.crop // 8)
    logits = 3 * torch.randn(2, options.classes, side, side)
    image = np.zeros((options.crop, options.crop, 3), np.uint8)
    parse = SlidingWindow(lambda images: Logits(logits, None), options.classes, IMAGENET, CPU)
    procedure = Procedure(options.crop, flip=True)

    @torch.inference_mode()
    def plain():
        found = upsample(logits, image.shape[:2]).softmax(1)
        return ((found[0] + found[1].flip(2)) / 2).argmax(0).numpy()

    calls = {"plain": plain, "psp": lambda: parse.label_map(image, procedure).numpy()}
    report("tail", measure(calls, options.runs))


def agreement(path, pictures, device):
    """Print how many labels of bfloat16 are those of float32, with trained weights."""
    import psp
    from psp.predict.inputs import find_pictures

    exact, fast = (psp.load(path, device, precision) for precision in ("fp32", "bf16"))
    same = total = 0
    for picture in find_pictures([pictures]).values():
        equal = exact(picture) == fast(picture)
        same, total = same + equal.sum(), total + equal.size
    print(f"model · bf16 gives float32's label in {100 * same / total:.3f}% of {total} pixels")


def huge(side, base_size, classes):
    """Print the peak memory of this process for a square picture to labels."""
    network = build(Architecture(classes=classes, backbone="resnet18", stem="7x7")).eval()
    parse = sliding_window(network, IMAGENET, CPU, pick_inference_precision("auto", CPU))
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    start = time.perf_counter()
    parse.label_map(image, Procedure(473, base_size))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    size = f"long side {base_size}" if base_size else "its own size"
    print(
        f"huge · {side}x{side}, {classes} classes, {size}: peak {peak:.2f} GB, "
        f"{time.perf_counter() - start:.0f} s"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--authors", type=Path, metavar="DIR")
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--crop", type=int, default=473)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pictures", type=Path, metavar="DIR")
    parser.add_argument("--huge", type=int, metavar="SIDE")
    parser.add_argument("--huge-base", type=int, metavar="N")
    parser.add_argument("--only", choices=("huge", "model"))
    options = parser.parse_args()
    if options.only == "huge":
        huge(options.huge, options.huge_base, options.classes)
        return
    if options.only is None:
        speed(options)
    if options.model:
        agreement(options.model, options.pictures, "auto")
    if options.huge:  # in a process of its own, whose peak is its alone
        command = [sys.executable, __file__, "--only", "huge", "--huge", str(options.huge)]
        command += ["--classes", str(options.classes)]
        command += ["--huge-base", str(options.huge_base)] if options.huge_base else []
        subprocess.run(command, check=True)


@torch.inference_mode()
def speed(options):
    """The window, the tail, and with --whole the picture."""
    theirs, network = networks(options)
    procedure = authors_procedure(options.authors, theirs) if options.authors else None
    window, whole = procedure or plain_procedure(theirs)
    name = "the authors' code" if options.authors else "plain"
    kinds = {"psp float32": torch.float32}
    if pick_inference_precision("auto", CPU) == torch.bfloat16:
        kinds["psp bfloat16"] = torch.bfloat16
    else:
        print("bfloat16: this processor has no instructions for it")
    ours = {kind: sliding_window(network, IMAGENET, CPU, dtype) for kind, dtype in kinds.items()}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (options.crop, options.crop, 3), dtype=np.uint8)
    procedure = Procedure(options.crop, flip=True)
    calls = {name: lambda: window(image).argmax(2)}
    for kind, parse in ours.items():
        calls[kind] = lambda parse=parse: parse.label_map(image, procedure).numpy()
        expected = window(image)
        found = parse.probabilities(image, procedure).permute(1, 2, 0).numpy()
        worst = np.abs(found - expected).max() / np.ptp(expected)
        print(f"window · {kind}: probabilities differ by {worst:.1e} of their range at most")
    report("window", measure(calls, options.runs))
    tail(options)
    if options.whole:
        if whole is None:
            raise SystemExit("--whole needs --authors")
        image = rng.integers(0, 256, (*options.size, 3), dtype=np.uint8)
        scales = Procedure(options.crop, 512, PAPER_SCALES, flip=True)
        calls = {name: lambda: whole(image, scales, options.classes).argmax(2)}
        for kind, parse in ours.items():
            calls[kind] = lambda parse=parse: parse.label_map(image, scales).numpy()
        report("whole", measure(calls, max(1, options.runs // 5), warm=True))


if __name__ == "__main__":
    main()

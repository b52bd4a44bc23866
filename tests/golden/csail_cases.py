"""The networks and pictures on which psp is compared with CSAIL's semantic-segmentation-pytorch."""

CLASSES = 5
NETWORKS = {"r18": (18, 37), "r50": (50, 22)}  # depth, seed of the weights
# name: network, picture (seed, height, width), short sides, bound of the long side
CASES = {
    "one": ("r18", (11, 91, 133), (100,), 1000),
    "several": ("r18", (12, 61, 97), (60, 75, 90, 105, 120), 1000),
    "long": ("r18", (14, 40, 150), (75, 90), 200),  # where the long side is the bound
    "r50": ("r50", (13, 120, 81), (90,), 1000),
}
STEP = 10  # of the pixels whose probabilities are kept

"""The networks, pictures and test settings on which psp is compared with mmsegmentation."""

CLASSES = 5
# name: depth, align_corners, seed of the weights
NETWORKS = {"r18": (18, False, 1), "r50": (50, False, 2), "r18-corners": (18, True, 3)}
# name: seed, height, width
PICTURES = {"odd": (11, 91, 133), "small": (12, 57, 64), "tall": (13, 150, 101)}
# name: network, picture, size (long, short) of Resize, mode, crop (width, height), stride (x, y),
# with test-time augmentation
CASES = {
    "whole": ("r18", "odd", (200, 121), "whole", None, None, False),
    "whole-r50": ("r50", "tall", (160, 97), "whole", None, None, False),
    "whole-corners": ("r18-corners", "odd", (256, 129), "whole", None, None, False),
    "slide": ("r18", "odd", (300, 150), "slide", (97, 97), (65, 65), False),
    "slide-r50": ("r50", "odd", (256, 129), "slide", (105, 73), (70, 49), False),
    "slide-small": ("r18", "small", (256, 80), "slide", (97, 97), (65, 65), False),
    "slide-corners": ("r18-corners", "tall", (256, 129), "slide", (97, 97), (65, 65), False),
    "tta": ("r18", "odd", (200, 121), "whole", None, None, True),
    "tta-slide": ("r18", "tall", (160, 97), "slide", (97, 65), (65, 44), True),
    "tta-slide-corners": ("r18-corners", "small", (256, 80), "slide", (65, 65), (44, 44), True),
}
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
STEP = 10  # of the pixels whose probabilities are kept

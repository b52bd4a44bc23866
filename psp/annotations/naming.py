"""Words in the names of folders and files: what is in them, and which split they are of."""

import re
from pathlib import PurePosixPath

from psp.annotations import matching
from psp.annotations.splits import SPLITS


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


PHOTO_WORDS = _listed("""
    images image imgs img photos photo pictures picture pics jpegimages x input inputs rgb raw
    original originals leftimg8bit frames data
""")
MASK_WORDS = _listed("""
    masks mask labels label labeled annotations annotation annot annots anno ann anns y gt gts
    groundtruth truth ground target targets seg segs segmentation segmentations segmentationclass
    segmentationclassaug segmentationclasspng semantic gtfine color colors colored colour gray grey
    grayscale indexed ids
""")
# What programs write beside: pictures of objects, previews.
OTHER_WORDS = _listed("""
    segmentationobject segmentationobjectpng segmentationclassvisualization visualization
    visualizations viz vis overlay overlays preview previews instances instance
""")
_JOINED = re.compile(rf"^(train|val|valid|test)({'|'.join(MASK_WORDS)})$")  # trainannot


def ending_of(name: str) -> str:
    """Return the addition and the type of a file's name: "_mask.png", ".jpg.png", ".jpg".

    A name that is nothing but a word for photos or masks is an ending itself.
    """
    stem, dot, suffix = name.casefold().rpartition(".")
    suffix = {"jpeg": "jpg", "tiff": "tif"}.get(suffix, suffix)
    if (
        len(stem) > 1 and stem in MASK_WORDS | PHOTO_WORDS
    ):  # a folder a picture: image.png, mask.png
        return f"{stem}{dot}{suffix}"
    inner = re.search(r"\.(jpe?g|png|bmp|tiff?|webp)$", stem)
    if inner:
        return f"{inner[0]}.{suffix}"
    words = "|".join(re.escape(word.casefold()) for word in matching.MASK_WORDS)
    more = "|color|colors|instance|instances|instanceids|overlay|vis|viz|preview|pseudo"
    found = re.search(rf"(?:[_\-. ](?:{words}{more}))+$", stem)
    front = re.match(rf"(?:{words})[_\-. ]", stem)
    return f"{front[0] if front else ''}{found[0] if found else ''}{dot}{suffix}"


def words_of(text: str) -> list[str]:
    """Return the words of a name, in small letters."""
    return [word for word in re.split(r"[\W_]+", text.casefold()) if word]


def role_of(folder: str) -> str:
    """Return "photo", "mask" or "" for a folder's name."""
    words = set(words_of(folder)) | {re.sub(r"^(train|val|test)", "", w) for w in words_of(folder)}
    if words & MASK_WORDS:
        return "mask"
    return "photo" if words & PHOTO_WORDS else ""


def plain_key(key: str) -> str:
    """Take additions and a second type off the end of a key."""
    folder, slash, name = key.rpartition("/")
    name = f"{name}.x"
    ending = ending_of(name)
    return folder + slash + name.casefold().removesuffix(ending)


def cleaned(file: str) -> str:
    """Return a path without type, and without the words in its folders that name their kind."""
    *folders, name = PurePosixPath(file).parts
    kept = []
    for folder in folders:
        words = []
        for word in words_of(folder):
            word = _JOINED.sub(r"\1", word)
            if word not in PHOTO_WORDS and word not in MASK_WORDS:
                words.append(SPLITS.get(word, word))
        if words:
            kept.append("_".join(words))
    return "/".join([*kept, PurePosixPath(name).stem])


def split_of(folder: str) -> str:
    """Return "train", "val" or "test" if a folder's name says so, else ""."""
    for word in words_of(folder):
        word = _JOINED.sub(r"\1", word)
        if word in SPLITS:
            return SPLITS[word]
    return ""

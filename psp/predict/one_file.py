"""`-o result.png`: the overlay of one picture, and nothing else."""

from pathlib import Path

from psp.errors import PspError
from psp.files import read_bytes, write
from psp.images.encoding import encode_jpeg, encode_png
from psp.model.weights import read_header
from psp.predict.photos import PHOTO_SUFFIXES, decode_photo
from psp.predict.pipeline import PredictRequest, PredictResult, load_network
from psp.predict.stages import Picture
from psp.render import OverlayStyle, draw

ENCODERS = {".png": encode_png, ".jpg": encode_jpeg, ".jpeg": encode_jpeg}


def is_one_file(out: Path | None) -> bool:
    """Whether the results are to be one picture, by its name; a folder that exists is none."""
    return out is not None and out.suffix.lower() in PHOTO_SUFFIXES and not out.is_dir()


def predict_to_file(request: PredictRequest) -> PredictResult:
    """Write the overlay of the request's only picture to the file `out`, whole or not at all.

    Raises PspError for several pictures, a kind of file that is not written, a file that is there
    (but for `overwrite`), the picture itself, and if the picture cannot be read or predicted.
    """
    out = request.out
    if len(request.pictures) != 1:
        raise PspError(f"-o {out}: one file, but {len(request.pictures)} pictures. Name a folder")
    ((name, path),) = request.pictures.items()
    if out.suffix.lower() not in ENCODERS:
        raise PspError(f"-o {out}: an overlay is written as .png or .jpg. Choose another -o")
    if out.exists():
        if out.samefile(path):
            raise PspError(f"-o {out}: this is the picture itself. Choose another -o")
        if not request.overwrite:
            raise PspError(f"{out}: exists already. Choose another -o, or replace it: --overwrite")
    header = read_header(request.weights)
    procedure = request.procedure(header)
    item = Picture(name, path)
    item.image = decode_photo(read_bytes(path), str(path), item.notes)
    load_network(request, procedure)(item)
    assert item.labels is not None
    drawn = draw(item.image, item.labels, header.palette, request.overlay or OverlayStyle())
    write(out, ENCODERS[out.suffix.lower()](drawn))
    return PredictResult(
        out=out,
        predicted=(name,),
        skipped=(),
        failed=(),
        header=header,
        procedure=procedure,
        precision=request.chosen.text,
        remarks=dict.fromkeys(item.notes, 1),
    )

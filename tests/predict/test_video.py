"""psp predict of a video: the overlay video, frames' files, going on, and what is refused."""

import json
import struct

import cv2
import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.photos import records, save
from PIL import Image

import psp as package
from psp.errors import PspError
from psp.images.video import Clip, WebmWriter, is_video

SIZE = (48, 64)  # height, width


def picture(number, size=SIZE):
    """A smooth picture whose brightness says which frame it is, bright at its upper edge."""
    image = np.full((*size, 3), 20 + 10 * number, np.uint8)
    image[: size[0] // 4] = 220
    return image


def make_clip(path, count=8, rate=10.0, size=SIZE):
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), rate, size[::-1]
    )
    for number in range(count):
        writer.write(picture(number, size))
    writer.release()
    return path


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4")


def decoded(path):
    return [frame.image for frame in Clip(path).frames()]


def test_a_clips_frames_come_in_order_with_their_times(clip):
    frames = list(Clip(clip).frames(3))
    assert [frame.number for frame in frames] == [0, 3, 6]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.3, 0.6], abs=0.01)
    for frame in frames:
        assert np.abs(frame.image[30:].astype(int) - picture(frame.number)[30:]).max() < 12


def test_the_rotation_of_a_phone_is_obeyed(clip):
    """The matrix of the track header, as phones write it for a quarter turn clockwise."""
    data, one = clip.read_bytes(), 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, SIZE[0] * one, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    clip.write_bytes(data[:at] + turned + data[at + len(turned) :])
    image = next(Clip(clip).frames()).image
    assert image.shape == (64, 48, 3)
    assert image[:, -8:].mean() > 150 > image[:, :30].mean()  # the upper edge is at the right now


def test_a_written_video_has_odd_sizes_and_is_read_again(tmp_path):
    writer = WebmWriter(tmp_path / "odd.webm", (47, 61), 5.0)
    for number in range(3):
        writer.write(picture(number, (47, 61)), copies=2)
    with error_naming(PspError, "61x47", "one size"):
        writer.write(picture(0))
    writer.close()
    images = decoded(tmp_path / "odd.webm")
    assert len(images) == 6 and images[0].shape == (48, 62, 3)
    assert np.abs(images[4][30:].astype(int) - 40).max() < 12


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("empty",)),
        (b"<html>", ("web page",)),
        (b"#EXTM3U\nhttp://127.0.0.1/x\n", ("not a video",)),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), ("picture",)),
        (b"\0\0\0\x18ftypmp42" + bytes(80), ("cut off", "convert")),
    ],
)
def test_what_is_no_video_is_called_what_it_is(tmp_path, capfd, content, words):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with error_naming(PspError, "clip.mp4: ", *words):
        Clip(path)
    assert capfd.readouterr() == ("", "")


def test_a_clip_that_ends_early_is_said(clip):
    data = clip.read_bytes()
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    half = (start + end) // 2  # its index, which stands at the end, stays
    clip.write_bytes(data[:half] + bytes(end - half) + data[end:])
    source = Clip(clip)
    count = sum(1 for _ in source.frames())
    assert count < 8 and source.cut_off and "8 frames" in source.cut_off


def test_a_film_becomes_an_overlay_film_and_label_maps(journey, psp, clip, tmp_path):
    run = journey.folder / "run"
    call = ("predict", "clip.mp4", "-m", run, "--precision", "fp32", "--overlay-strength", "1")
    _, out, err = psp(*call, "--write", "labels,shares", check=0)
    folder = tmp_path / "clip-predicted"
    assert out.strip() == str(folder.relative_to(tmp_path))
    assert "overlay.webm" in err and "without sound" in err and "frames per second" in err
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["labels", "legend.png", "overlay.webm", "predictions.jsonl", "settings.json",
         "shares.csv", "video.json"]
    )  # fmt: skip
    names = [f"{number:06d}" for number in range(8)]
    assert list(records(folder)) == names
    images, drawn = decoded(clip), decoded(folder / "overlay.webm")
    assert len(drawn) == 8
    predictor = package.load(run, "cpu", "fp32")
    for (image, labels), name, colored in zip(predictor.stream(images), names, drawn, strict=True):
        assert np.array_equal(labels, Image.open(folder / f"labels/{name}.png"))
        expected = np.array(predictor.palette, np.uint8)[labels].astype(int)
        assert np.abs(colored - expected).mean() < 25 and image.shape == colored.shape
    again = json.loads(psp(*call, "--write", "labels,shares", "--json", check=0)[1])
    assert again["there"] and again["frames"] == 8
    fewer = json.loads(psp(*call, "--every", "4", "--json", check=0)[1])
    assert fewer["frames"] == 2 and not fewer["there"]
    assert Clip(folder / "overlay.webm").rate == pytest.approx(2.5)


def test_after_a_kill_finished_label_maps_are_not_computed_twice(
    journey, psp, clip, tmp_path, monkeypatch
):
    from psp.model.inference import SlidingWindow

    real, calls = SlidingWindow.label_map, []

    def count(self, image, procedure):
        calls.append(image)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(self, image, procedure)

    monkeypatch.setattr(SlidingWindow, "label_map", count)
    call = ("predict", "clip.mp4", "-m", journey.folder / "run", "--write", "labels", "--json")
    assert psp(*call)[0] == 130
    folder = tmp_path / "clip-predicted"
    finished = len(records(folder))  # the files of one or two more may have been written
    kept = {
        path: path.stat().st_mtime_ns for path in sorted(folder.glob("labels/*.png"))[:finished]
    }
    assert 0 < finished < 8 and not list(folder.glob("*.webm"))
    calls.clear()
    result = json.loads(psp(*call, "-q", check=0)[1])
    assert (result["frames"], result["reused"]) == (8, finished)
    assert len(calls) == 8 - finished
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(decoded(folder / "overlay.webm")) == 8


def test_pictures_become_frames_in_the_order_of_numbers(journey, psp, tmp_path):
    for number in (1, 2, 10):
        Image.fromarray(picture(number)).save(tmp_path / f"f{number}.png")
    (tmp_path / "f3.png").write_bytes(b"\x89PNG")
    call = ("predict", *sorted(tmp_path.glob("f*.png")), "-m", journey.folder / "run", "--fps", "5")
    out = json.loads(psp(*call, "--overlay-strength", "0", "--json", check=3)[1])
    assert out["frames"] == 3 and [name for name, _ in out["failed"]] == ["000002"]
    brightness = [
        round((image[30:].mean() - 20) / 10)
        for image in decoded(tmp_path / "predicted-video/overlay.webm")
    ]
    assert brightness == [1, 2, 2, 10]  # the broken one's time is that of the one before it


def test_pauses_of_a_variable_rate_are_kept(journey, psp, clip, tmp_path, monkeypatch):
    real = Clip.frames

    def slower(self, every=1):
        for frame in real(self, every):
            pause = 0.3 if frame.number > 3 else 0.0
            yield type(frame)(frame.number, frame.seconds + pause, frame.image)

    monkeypatch.setattr(Clip, "frames", slower)
    psp("predict", "clip.mp4", "-m", journey.folder / "run", "--overlay-strength", "0", check=0)
    monkeypatch.undo()
    drawn = decoded(tmp_path / "clip-predicted/overlay.webm")
    numbers = [round((image[30:].mean() - drawn[0][30:].mean()) / 10) for image in drawn]
    assert numbers == [0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["clip.mp4", "--part", "1/2"], "--part 1/2", "Leave it out"),
        (["clip.mp4", "photo.png"], "clip.mp4", "psp predict clip.mp4"),
        (["clip.mp4", "--fps", "5"], "--fps", "Leave it out"),
        (["clip.mp4", "-o", "out.mp4"], "H.264", "-o out"),
        (["photo.png", "--every", "2"], "--every", "--fps"),
        (["0"], "0: a camera", "predictor.stream"),
        (["rtsp://host/1"], "rtsp://host/1", "predictor.stream"),
        (["http://host/a.jpg"], "http://host/a.jpg", "Download"),
    ],
)
def test_what_a_video_cannot_do_is_one_line(
    journey, psp, clip, tmp_path, arguments, subject, remedy
):
    save(tmp_path / "photo.png")
    before = sorted(tmp_path.iterdir())
    code, out, err = psp("predict", *arguments, "-m", journey.folder / "run")
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert subject in err and remedy in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_clip_among_photos_is_left_out_with_its_command(journey, psp, clip, tmp_path):
    save(tmp_path / "photos/a.png")
    clip.rename(tmp_path / "photos/clip.mp4")
    err = psp("predict", "photos", "-m", journey.folder / "run", check=3)[2]
    assert "1 .mp4" in err and "psp predict VIDEO" in err
    (tmp_path / "photos/a.png").unlink()
    err = psp("predict", "photos", "-m", journey.folder / "run", check=2)[2]
    assert "photos: " in err and "psp predict VIDEO" in err and len(err.splitlines()) == 1


def test_a_video_is_known_by_its_bytes(clip, tmp_path):
    clip.rename(tmp_path / "clip")
    assert is_video(tmp_path / "clip")
    save(tmp_path / "photo.mp4.png")
    assert not is_video(tmp_path / "photo.mp4.png") and not is_video(tmp_path)


def test_a_stream_takes_one_frame_at_a_time_also_bgr(journey):
    predictor, taken = package.load(journey.folder / "run", "cpu"), []

    def camera():
        while True:
            taken.append(len(taken))
            yield picture(len(taken))[..., ::-1]

    stream = predictor.stream(camera())
    image, labels = next(stream)
    assert taken == [0] and labels.shape == SIZE and labels.dtype == np.uint8
    assert np.array_equal(labels, predictor(image))
    next(stream)
    assert taken == [0, 1]
    with pytest.raises(PspError):
        next(predictor.stream([np.zeros((4, 4))]))

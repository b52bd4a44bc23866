"""What users of other tools run into most, tried with the real commands.

Each case is a mistake, or a thing that goes wrong elsewhere: psp prevents it, or says in one line
what is wrong, where, and what to do, before a GPU has worked. The numbers are for order alone.
"""

import io
import json
import os
import pickle
import re
import shutil
import time

import numpy as np
import pytest
import torch
from helpers.photos import save
from helpers.trees import noise, save_picture, small_card
from PIL import Image

from psp.data import loader
from psp.data.scenes import SceneSpec, paint_set
from psp.model import pspnet

SECONDS = 10  # until a mistake is answered


@pytest.fixture
def raw(tmp_path):
    """A small data set with its card, on which a test makes its mistake."""
    for _ in paint_set(tmp_path / "raw", {"train": 3, "val": 2}, spec=SceneSpec(48, 64)):
        pass
    card = small_card().replace("images = 12", "images = 3").replace("images = 4", "images = 2")
    (tmp_path / "tiny.toml").write_text(card)
    return tmp_path / "raw"


@pytest.fixture
def place(journey, tmp_path):
    """A folder with prepared shards and a finished run: links to files that all tests share.

    What a test breaks is replaced, see `tear`.
    """
    for name in ("raw", "shards", "tiny.toml"):
        (tmp_path / name).symlink_to(journey.folder / name)
    shutil.copytree(journey.folder / "run", tmp_path / "run", copy_function=os.symlink)
    return tmp_path


def tear(path, length):
    """Replace a file by its beginning."""
    start = path.read_bytes()[:length]
    path.unlink()
    path.write_bytes(start)


@pytest.fixture
def refused(psp):
    """refused(*arguments, naming=[...]): the command ends with 2 and one line that has the texts.

    It is answered soon, without a traceback.
    """

    def call(*arguments, naming):
        begin, worked = time.monotonic(), time.process_time()
        code, out, err = psp(*arguments)
        # Of its own time: other tests may run beside it. Nor does it wait for anything.
        assert time.process_time() - worked < SECONDS and time.monotonic() - begin < 10 * SECONDS
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and "Traceback" not in err, out + err
        for text in naming:
            assert text in lines[0], lines[0]
        return lines[0]

    return call


PREPARE = ("prepare", "tiny.toml", "raw", "-o", "shards", "--workers", 1)


# 1
def test_labels_out_of_range_name_the_file_the_values_and_a_way(refused, raw):
    path = raw / "labels/val/0001.png"
    label = np.array(Image.open(path))
    label[:2, :2] = 77
    Image.fromarray(label).save(path)
    refused(*PREPARE, naming=["val/0001.png", "77", "from", "--skip-bad"])


# 2
def test_masks_of_colors_are_not_read_as_gray(refused, raw):
    for path in (raw / "labels").rglob("*.png"):
        Image.new("RGB", (64, 48), (0, 99, 3)).save(path)
    refused(*PREPARE, naming=["labels/train", "#006303", "labels = 'colors'"])


# 2
def test_masks_with_a_palette_are_read_as_ids(psp, raw, tmp_path):
    plain = json.loads(psp(*PREPARE, "--json", check=0)[1])["splits"]
    shutil.rmtree(tmp_path / "shards")
    for path in (raw / "labels").rglob("*.png"):
        with Image.open(path) as opened:
            picture = Image.frombytes("P", opened.size, opened.tobytes())
        picture.putpalette([255 - value // 3 for value in range(768)])
        picture.save(path)
    same = json.loads(psp(*PREPARE, "--json", check=0)[1])["splits"]
    for split, entry in plain.items():
        counted = [shard["pixels"] for shard in entry["shards"]]
        assert counted == [shard["pixels"] for shard in same[split]["shards"]]


# 3
def test_the_full_ade20k_is_not_the_benchmark(refused, tmp_path, rng):
    folder = tmp_path / "ADE20K_2021_17_01/images/ADE/training/urban/street"
    for name in ("ADE_train_00000001.jpg", "ADE_train_00000001_seg.png"):
        save_picture(folder / name, noise(rng, 48, 64))
    refused(
        "prepare", "ade20k", "ADE20K_2021_17_01", naming=["full ADE20K", "ADEChallengeData2016"]
    )


# 4
def test_a_score_comes_with_its_procedure_and_a_recipe_with_its_sources(journey, psp):
    says = journey.says["evaluate"][1]
    assert "single scale with flip" in says and "windows of 41" in says and "step 6" in says
    out = psp("recipe", "diff", "voc2012", "voc2012:semseg", check=0)[1]
    assert "bias_lr" in out and "loss_stride" in out


# 5
@pytest.mark.parametrize(
    "options", [["--batch", 1], ["--batch", 2, "--set", "accumulate=2"]], ids=["batch", "parts"]
)
def test_one_picture_for_a_batch_norm_is_said_before_the_first_step(refused, place, options):
    refused(
        "train", "shards", "-o", "new", *options, naming=["batch norm", "--batch", "freeze_norm"]
    )
    assert not (place / "new").exists()


# 7
@pytest.mark.parametrize("option", [["--sync-bn"], ["--set", "sync_bn=true"]], ids=["word", "set"])
def test_nobody_has_to_choose_the_batch_norm_of_one_gpu_or_many(refused, place, option):
    refused("train", "shards", *option, naming=["batch norm always counts over all GPUs"])


# 8
def test_a_resume_of_nothing_or_of_something_else_is_refused(refused, place):
    refused("train", "shards", "-o", "nowhere", "--resume", naming=["nowhere", "psp runs"])
    other = ["--lr", 0.5]
    refused("train", "shards", "-o", "run", "--resume", *other, naming=["lr: 0.003 -> 0.5", "-o"])
    refused("train", "shards", "-o", "run", naming=["run", "--resume"])


# 9
def test_a_step_that_does_not_fit_names_batch_accumulate_and_crop(refused, place, monkeypatch):
    forward = pspnet.PSPNet.forward

    def limited(self, images):
        if self.training and len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, images)

    monkeypatch.setattr(pspnet.PSPNet, "forward", limited)
    named = ["out of memory", "4 pictures of 41", "--batch 2", "accumulate", "--crop"]
    refused("train", "shards", "-o", "new", naming=named)


# 10
def test_weights_that_are_missing_or_of_another_network_are_not_half_loaded(refused, place):
    torch.save({"a": torch.zeros(3)}, place / "foreign.pth")
    train = ("train", "shards", "-o", "new", "--init")
    refused(*train, "resnet50.pth", naming=["resnet50.pth", "psp models", "--init none"])
    refused(*train, "foreign.pth", naming=["foreign.pth", "resnet18", "conv1.weight", "--backbone"])


# 10
def test_a_dead_link_says_how_to_go_on_without_it(refused, place, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    options = ["--init", "imagenet"]
    refused(
        "train", "shards", "-o", "new", *options, naming=["could not be fetched", "--init none"]
    )


# 11
def test_torn_files_are_named_and_never_taken_for_whole(refused, place):
    tear(place / "run/best.safetensors", 99_999)
    refused("predict", "raw/images/val", "-m", "run", naming=["best.safetensors", "cut off"])
    for path in (place / "run/checkpoints").iterdir():
        tear(path, 999)
    resume = ("train", "shards", "-o", "run", "--resume")
    refused(*resume, naming=["00000006.pt is damaged", "00000003.pt is damaged", "anew"])


# 13
def test_classes_that_never_occur_are_seen_and_every_mean_says_over_which(journey, psp, place):
    says = journey.says["evaluate"][1]
    assert re.search(r"mean over all 9 classes.*over the \d labeled or predicted.*\d labeled", says)
    row = re.search(r"^boat .*$", psp("inspect", "shards", check=0)[1], re.MULTILINE)[0]
    assert row.split()[-2:] == ["-", "0"]  # of the validation split


# 14
def test_label_maps_are_ids_that_look_like_colors_with_overlays_and_a_legend(journey):
    folder = journey.folder / "predicted"
    with Image.open(folder / "labels/0000.png") as picture:
        assert picture.mode == "P" and np.asarray(picture).max() < 9
        assert np.asarray(picture.convert("RGB")).max() > 60
    assert (folder / "overlays/0000.jpg").exists() and (folder / "legend.png").exists()


# 15
def test_a_model_says_what_input_it_expects(psp, place):
    out = psp("inspect", "run", check=0)[1]
    assert "RGB" in out and "123.675" in out and "58.395" in out


# 16
def test_sizes_that_the_pyramid_does_not_divide_can_be_exported(psp, place):
    pytest.importorskip("onnxruntime")
    out = psp("export", "run", "net.onnx", "--size", "57x73", check=0)
    assert "onnxruntime agrees" in "".join(out[1:])


# 17, 18
def test_the_same_seed_is_the_same_training_with_any_number_of_loading_processes(psp, place):
    short = ("--steps", 1, "--set", "eval_every=1", "-q")
    for workers in (0, 2):
        psp("train", "shards", "-o", f"w{workers}", "--workers", workers, *short, check=0)
    one, two = ((place / f"w{workers}/last.safetensors").read_bytes() for workers in (0, 2))
    assert one == two


# 20
def test_ranks_without_a_meeting_place_or_without_gpus_do_not_wait(refused, place, monkeypatch):
    few = torch.cuda.device_count()
    refused("train", "shards", "--gpus", few + 1, naming=[f"torch sees {few}", "psp doctor"])
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused("train", "shards", naming=["MASTER_ADDR", "torchrun", "unset RANK"])


# 21
def test_little_shared_memory_means_fewer_loading_processes_not_a_bus_error(
    psp, place, monkeypatch
):
    class Usage:
        free = 10_000

    monkeypatch.setattr(loader.shutil, "disk_usage", lambda path: Usage)
    options = ("--steps", 1, "--workers", 4, "--lr", "1e30")
    err = psp("train", "shards", "-o", "new", *options)[2]
    assert "/dev/shm" in err and "0 of 4" in err and "--shm-size" in err


# 19, 22, 25, 26, 27, 30
def test_a_folder_of_odd_photos_is_done_and_what_fails_is_listed(psp, place):
    """Any size, any name, turned by EXIF; each result has the size of its photo as it is seen."""
    folder = place / "photos"
    sizes = {"größe 東京.jpg": (50, 40), "one.png": (1, 1), "long.jpg": (300, 7)}
    for name, size in sizes.items():
        save(folder / name, size)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", (60, 20), exif=exif)
    (folder / "broken.jpg").write_bytes(b"\x89HDF no photo")
    (folder / "empty.png").touch()
    code, _, err = psp("predict", "photos", "-m", "run", "-o", "out")
    assert code == 3
    assert (
        "broken.jpg" in err and "HDF" in err and "empty.png" in err and "2 pictures failed" in err
    )
    for name, size in (sizes | {"turned.jpg": (20, 60)}).items():
        with Image.open(place / "out/labels" / f"{name.rpartition('.')[0]}.png") as picture:
            assert picture.size == size
    assert psp("predict", "photos", "-m", "run", "-o", "out")[0] == 3  # and computes no more


# 22
def test_without_pictures_predict_shows_how_it_is_called(refused):
    refused("predict", "-m", "run", naming=["images", "psp predict photos/", "--help"])
    refused("predict", "nowhere", "-m", "run", naming=["nowhere", "no such file"])


# 23
def test_context_without_its_annotations_says_what_belongs_where(refused, raw):
    refused("prepare", "context", "raw", naming=["VOC2010", "trainval"])


# 24
def test_a_file_that_would_run_code_runs_none(refused, place):
    class Payload:
        def __reduce__(self):
            return (open, (str(place / "executed"), "w"))

    torch.save({"state_dict": {"a": torch.zeros(2)}, "more": io.StringIO}, place / "odd.pth")
    (place / "evil.pth").write_bytes(pickle.dumps(Payload()))
    for name in ("odd.pth", "evil.pth"):
        refused("predict", "raw/images/val", "-m", name, naming=[name])
        refused("train", "shards", "-o", "new", "--init", name, naming=[name])
        refused("import", name, "out.safetensors", "--card", "tiny.toml", naming=[name])
    assert not (place / "executed").exists()


# 25
@pytest.mark.parametrize(("crop", "nearest"), [(100, ["89", "137"]), (512, ["473", "521"])])
def test_a_crop_that_does_not_work_names_the_two_nearest(refused, place, crop, nearest):
    refused("train", "shards", "-o", "new", "--crop", crop, naming=["8n+1", *nearest])


# 27
def test_a_photo_turned_by_exif_has_its_mask_turned_with_it(psp, raw):
    for path in [*(raw / "images").rglob("*.*")]:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = 6
        path.unlink()
        picture.save(path.with_suffix(".jpg"), exif=exif)
    assert "5 masks were turned with their photos" in psp(*PREPARE, check=0)[2]


# 28
def test_a_loss_that_is_not_finite_ends_with_its_step_and_pictures(refused, place):
    hot = ("--lr", "1e30", "--set", "pictures=false")
    line = refused("train", "shards", "-o", "new", *hot, naming=["step", "--lr", "precision=fp32"])
    assert re.search(r"00\d\d, 00\d\d", line)
    assert not list((place / "new").glob("*.safetensors"))

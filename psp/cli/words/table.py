"""Words of other programs' command lines, and what psp says instead.

From Ultralytics, mmsegmentation, semseg, segmentation_models.pytorch and torchvision's references.
A row is looked at only if a command has no such option. In an answer, {N} and other capitals in
braces stand for the value that was given, or for themselves where none was.
"""

from dataclasses import dataclass

ANY = "*"  # every command without an answer of its own


@dataclass(frozen=True)
class Row:
    """Words with one meaning, without their dashes, and the answer for each command of psp."""

    words: str
    answers: dict[str, str]


TRAIN, EVALUATE, PREDICT, PREPARE, EXPORT = "train", "evaluate", "predict", "prepare", "export"
EPOCHS, CROP = "epochs", "crop"  # answers that are computed, see answer.py

CARD = "the classes come from the card of the data set. See: psp inspect SHARDS"
NO_BOXES = "psp labels every pixel and finds no boxes, so there is nothing to set here"
SETTINGS = "psp has no file for it: recipes come with the card (--recipe NAME), and any setting is "
SETTINGS += "changed by --set KEY=VALUE. See: psp recipe show SHARDS, and for a configuration of "
SETTINGS += "mmsegmentation or semseg: psp import CONFIG"
OUT = "psp's option is -o {DIR}"

ROWS = (
    Row("epochs epoch max-epochs num-epochs n-epochs total-epochs train-epochs", {TRAIN: EPOCHS}),
    Row(
        "iters max-iters iterations total-iters num-iters max-steps niter max-iter",
        {TRAIN: "psp's option is --steps {N}"},
    ),
    Row(
        "imgsz img img-size image-size imagesize crop-size input-size resize size train-h train-w "
        "resolution short-size patch-size tile-size window-size",
        {
            TRAIN: CROP,
            PREPARE: "psp's option is --max-side {N}, the long side that pictures are shrunk to",
            EXPORT: "psp's option is --size WxH",
            ANY: "psp's options are --base-size N, the long side that pictures are resized to, and "
            "--crop N, the side of the windows. Default: as in training",
        },
    ),
    Row(
        "data dataset data-root data-dir data-path root dataset-dir dataroot train-data",
        {
            TRAIN: "the shards are the argument: psp train {SHARDS}",
            EVALUATE: "psp's option is --data {SHARDS}",
            PREDICT: "the pictures are the argument: psp predict {PICTURES}",
            PREPARE: "folders are arguments: psp prepare {FOLDER}, or psp prepare CARD {FOLDER}",
            ANY: "name it without an option, as an argument",
        },
    ),
    Row(
        "source input inputs image images img-path image-path img-dir input-dir input-folder path "
        "imgs test-list folder",
        {
            PREDICT: "the pictures are the argument: psp predict {PICTURES} -m MODEL",
            TRAIN: "the shards are the argument: psp train SHARDS. Make them of pictures and masks "
            "with: psp prepare CARD RAW",
            EVALUATE: "psp scores on shards, which hold pictures with labels: --data SHARDS. For "
            "label maps of pictures: psp predict {PICTURES} -m MODEL",
            PREPARE: "folders are arguments: psp prepare {FOLDER}, or psp prepare CARD {FOLDER}",
        },
    ),
    Row(
        "weights model checkpoint ckpt ckpt-path checkpoint-path model-path snapshot weight "
        "model-file resume-from-checkpoint checkpoint-file pretrained-model",
        {
            PREDICT: "psp's option is -m {MODEL}",
            EVALUATE: "the model is the argument: psp evaluate {MODEL}",
            EXPORT: "the model is the first argument: psp export {MODEL} OUT.onnx",
            TRAIN: "psp's option is --init {MODEL} to start from a model, --backbone NAME for the "
            "kind of network, --resume to continue a run",
        },
    ),
    Row(
        "load-from pretrained pretrain finetune fine-tune finetune-from transfer "
        "pretrained-weights encoder-weights backbone-weights init-weights",
        {TRAIN: "psp's option is --init {FROM}: imagenet, none, a run, a weights file, or a name "
         "from psp models"},
    ),
    Row(
        "resume-from auto-resume continue continue-from resume-path resume-training restart",
        {TRAIN: "psp's option is --resume, which continues the newest run of that name, or that "
         "of -o RUN", ANY: "the same command again continues"},
    ),
    Row(
        "project work-dir workdir work-dirs save-dir save-path output output-dir out-dir outdir "
        "log-dir logdir results results-dir result-dir exp exp-dir experiment run-dir show-dir "
        "out-file save-folder dest destination output-folder output-path",
        {
            TRAIN: "psp's option is -o {DIR}, the folder of the run itself",
            EVALUATE: "scores go to stdout (--json) and into the run; label files go to "
            "--save-labels DIR",
            ANY: OUT,
        },
    ),
    Row(
        "name run-name exp-name experiment-name",
        {TRAIN: "psp's option is -o runs/{NAME}, the folder of the run itself", ANY: OUT},
    ),
    Row(
        "batch-size bs batchsize train-batch-size samples-per-gpu batch-size-per-gpu imgs-per-gpu "
        "train-batch batch b",
        {
            TRAIN: "psp's option is --batch {N}, the images of a step on all devices together",
            ANY: "psp's option is --window-batch N, the windows that go through the network at a "
            "time",
        },
    ),
    Row(
        "learning-rate lr0 base-lr initial-lr init-lr max-lr",
        {TRAIN: "psp's option is --lr {X}, the backbone's; new layers learn --set head_lr=10 times "
         "as fast"},
    ),
    Row("wd decay l2", {TRAIN: "psp's option is --set weight_decay={X}"}),
    Row(
        "optimizer optim opt",
        {TRAIN: "psp trains with SGD. Its settings are --lr, --set momentum=X and --set "
         "weight_decay=X"},
    ),
    Row(
        "scheduler lr-scheduler lr-policy sched cos-lr lrf warmup warmup-epochs warmup-iters",
        {TRAIN: "psp's schedule is poly, as in the paper: --set power=0.9"},
    ),
    Row("loss criterion loss-fn", {TRAIN: "psp trains with cross entropy; --set dice=0.5 adds "
        "Dice. See: psp recipe show SHARDS"}),
    Row(
        "config cfg config-file yaml hyp hparams cfg-options opts options",
        {TRAIN: SETTINGS, ANY: "psp has no configuration file: a model holds its settings itself"},
    ),
    Row("num-classes nc n-classes classes nclass class-num names", {ANY: CARD}),
    Row(
        "ignore-index ignore-label ignore-value void",
        {PREPARE: "the card says which values are ignored: ignore = [255]", ANY: CARD},
    ),
    Row(
        "arch architecture encoder encoder-name network net layers model-name backbone-name depth",
        {TRAIN: "psp's option is --backbone NAME: resnet50, resnet101 and others",
         ANY: "a model holds its own network"},
    ),
    Row("backbone crop base-size", {ANY: "that is set when training: psp train SHARDS --{WORD}"}),
    Row(
        "gpu gpu-id gpu-ids gpus devices cuda local-rank accelerator",
        {ANY: "psp's option is --device cuda:N"},
    ),
    Row(
        "ngpus num-gpus n-gpu n-gpus nproc nproc-per-node world-size launcher ddp distributed",
        {
            TRAIN: "psp's option is --gpus N; on several machines: torchrun ... -m psp train",
            ANY: "start one process a GPU: torchrun --nproc-per-node N -m psp ...",
        },
    ),
    Row("no-cuda cpu no-gpu use-cpu", {ANY: "psp's option is --device cpu"}),
    Row(
        "half fp16 amp bf16 mixed-precision use-amp autocast float16 fp32",
        {TRAIN: "psp's option is --set precision=bf16 (or fp32); auto: bf16 where a GPU has it",
         EXPORT: "psp's option is --fp16; without it, the file computes in float32",
         ANY: "psp's option is --precision bf16 (or fp32); auto takes bf16 where it is fast"},
    ),
    Row(
        "num-workers nworkers jobs j n-jobs workers-per-gpu threads num-threads n-workers",
        {TRAIN: "psp's option is --workers {N}", PREPARE: "psp's option is --workers {N}",
         ANY: "psp chooses the number of threads itself"},
    ),
    Row("conf conf-thres confidence threshold thresh conf-threshold prob-threshold score-thr",
        {ANY: "every pixel gets its most probable class, without a threshold. For the "
         "probabilities: --probabilities"}),
    Row("iou iou-thres nms max-det agnostic-nms single-cls rect save-crop line-width hide-labels",
        {ANY: NO_BOXES}),
    Row(
        "tta augment aug-test multi-scale-test ms ms-test scale-test mscale",
        {PREDICT: "psp's options are --multi-scale and --flip",
         EVALUATE: "psp's options are --multi-scale and --flip",
         TRAIN: "every crop is scaled, turned and mirrored at random. See: psp recipe show SHARDS"},
    ),
    Row("save-txt save-conf save-mask save-masks save-json nosave save-format save-img colorize",
        {PREDICT: "psp's option is --write LIST. See: psp predict --help"}),
    Row("vid-stride video-stride frame-stride frame-interval frame-step",
        {PREDICT: "psp's option is --every {N}"}),
    Row("opacity alpha overlay-alpha", {PREDICT: "psp's option is --overlay-strength {X}, 0 to 1",
         ANY: "overlays are drawn by: psp predict PICTURES -m MODEL --overlay-strength 0.5"}),
    Row("show view view-img visualize display plots vis",
        {PREDICT: "look at index.html in the folder of results",
         EVALUATE: "the report beside the result shows pictures, curves and the confusion matrix; "
         "of all pictures: psp predict PICTURES -m MODEL",
         ANY: "for a picture of the data: psp inspect SHARDS --sheet sheet.png"}),
    Row("exist-ok force clobber f overwrite-output",
        {TRAIN: "a run is not overwritten: choose another -o, or --resume it",
         ANY: "psp's option is --overwrite"}),
    Row("eval metrics metric eval-metrics", {EVALUATE: "all scores are computed, always"}),
    Row("val-interval eval-interval val-freq evaluate-every val-period",
        {TRAIN: "psp's option is --set eval_every=N, in steps"}),
    Row("save-period save-interval save-freq checkpoint-every checkpoint-interval save-every-n",
        {TRAIN: "psp's option is --set save_every=N, in steps"}),
    Row("val no-val noval no-validate skip-val evaluate test-only eval-only do-eval",
        {TRAIN: "a training validates by itself, every --set eval_every=N steps. To score: psp "
         "evaluate MODEL"}),
    Row("format to dynamic simplify",
        {EXPORT: "psp writes ONNX, as the name of OUT says: psp export MODEL OUT.onnx"}),
    Row("backend runtime provider execution-provider",
        {ANY: "psp's option is --engine NAME: torch, onnxruntime or openvino"}),
    Row("manual-seed random-seed", {TRAIN: "psp's option is --seed {N}"}),
    Row("sync-bn syncbn", {TRAIN: "batch norm always counts over all GPUs of a training"}),
    Row("task mode", {ANY: "psp does one thing, semantic segmentation; what to do is its command: "
        "psp train, psp evaluate, psp predict"}),
)  # fmt: skip

WORDS: dict[str, Row] = {word: row for row in ROWS for word in row.words.split()}

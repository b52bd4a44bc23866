"""Miniature official trees of the data sets whose labels are MATLAB files.

Each builder writes one tree below `folder` and returns its truth: {split: {id: (jpeg, expected)}},
the picture's bytes and the label as uint8 (height, width) class ids, 255 = ignore. The truth comes
from the raw values as they were drawn, by the loops here, and never from a file read back.
"""

import io
import string
import struct
import zlib

import h5py
import numpy as np
from helpers.trees import noise
from PIL import Image
from scipy import sparse
from scipy.io import savemat

IGNORE = 255

# ---------------------------------------------------------------------------------- pictures


def jpeg_bytes(rng, height, width):
    buffer = io.BytesIO()
    Image.fromarray(noise(rng, height, width)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_list(path, lines, end="\n"):
    write(path, "".join(line + end for line in lines).encode())


def listed(text):
    """Names divided by white space; an underscore stands for a space."""
    return [name.replace("_", " ") for name in text.split()]


def patchwork(rng, height, width, values, block):
    """A label map of square blocks; no value comes twice before all of them came once."""
    rows, columns = -(-height // block), -(-width // block)
    cells = rng.choice(values, rows * columns)
    dealt = rng.permutation(values)[: cells.size]
    cells[: dealt.size] = dealt
    cells = rng.permutation(cells).reshape(rows, columns)
    return cells.repeat(block, 0).repeat(block, 1)[:height, :width]


# ------------------------------------------------------------------------------ MATLAB's files


def cell_column(items):
    """An n x 1 cell array."""
    cells = np.empty((len(items), 1), object)
    for row, item in enumerate(items):
        cells[row, 0] = item
    return cells


def save_mat(path, variables, *, v73=False, compress=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    if v73:
        save_v73(path, variables)
    else:
        savemat(path, variables, do_compression=compress)


def narrow_double(name, array):
    """A v7 element as MATLAB writes a double matrix of small whole numbers: bytes on disk.

    The class is double, the storage is uint8, the name lies inside its tag, all of it is deflated;
    savemat never writes that.
    """

    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    label = name.encode()
    assert len(label) <= 4  # what a small element holds
    matrix = element(
        14,  # miMATRIX, made of:
        element(6, struct.pack("<II", 6, 0))  # flags as miUINT32: mxDOUBLE_CLASS
        + element(5, struct.pack("<ii", *array.shape))  # dimensions as miINT32
        + struct.pack("<HH", 1, len(label))
        + label.ljust(4, b"\0")  # name as miINT8
        + element(2, array.astype(np.uint8).tobytes(order="F")),  # values as miUINT8, by columns
    )
    deflated = zlib.compress(matrix)
    return struct.pack("<II", 15, len(deflated)) + deflated  # miCOMPRESSED is not padded


def save_narrow_double(path, name, array, others):
    buffer = io.BytesIO()
    savemat(buffer, others, do_compression=True)
    write(path, buffer.getvalue() + narrow_double(name, array))


V73_TEXT = (
    b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Tue Mar  6 10:21:09 2012 "
    b"HDF5 schema 1.00 ."
)


def save_v73(path, variables):
    """MATLAB's HDF5 form: a text header in the user block, every array transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            put_v73(file, name, value)
    with path.open("r+b") as file:
        file.write(V73_TEXT.ljust(116) + bytes(8) + b"\x00\x02IM")


def put_v73(parent, name, value):
    """Dictionaries are 1 x 1 structs, object arrays are cells, strings are 1 x n char arrays."""
    if isinstance(value, dict):
        kind, node = "struct", parent.create_group(name)
        for field, content in value.items():
            put_v73(node, field, content)
        letters = np.empty(len(value), object)
        for place, field in enumerate(value):
            letters[place] = np.array(list(field), "S1")
        node.attrs.create("MATLAB_fields", letters, dtype=h5py.vlen_dtype(np.dtype("S1")))
    elif sparse.issparse(value):
        kind, node = "logical", parent.create_group(name)
        node.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        node["jc"] = value.indptr.astype(np.uint64)
        if value.nnz:
            node["ir"] = value.indices.astype(np.uint64)
            node["data"] = value.data.astype(np.uint8)
    elif isinstance(value, str):
        kind, node = "char", parent.create_dataset(name, data=characters(value))
        node.attrs["MATLAB_int_decode"] = np.int32(2)
    elif value.dtype == object:
        kind, node = "cell", parent.create_dataset(name, data=references(parent.file, value))
    else:
        kind = "double" if value.dtype == np.float64 else value.dtype.name
        node = parent.create_dataset(name, data=value.T, compression="gzip")  # (W, H)
    node.attrs["MATLAB_class"] = np.bytes_(kind)


def characters(text):
    return np.array([[ord(letter)] for letter in text], np.uint16)  # (length, 1)


def references(file, cells):
    """Store the contents of a cell array under #refs#, as MATLAB does."""
    if "#refs#" not in file:
        empty = file.create_dataset("#refs#/a", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_class"] = np.bytes_("canonical empty")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
    store = file["#refs#"]
    turned = cells.T
    pointers = np.empty(turned.shape, h5py.ref_dtype)
    for place in np.ndindex(turned.shape):
        key = string.ascii_letters[len(store)]
        put_v73(store, key, turned[place])
        pointers[place] = store[key].ref
    return pointers


# ----------------------------------------------------------------------------- LMO = SIFT Flow

LMO_FOLDER = "spatial_envelope_256x256_static_8outdoorcategories"
LMO_NAMES = [
    "awning",
    "balcony",
    "bird",
    "boat",
    "bridge",
    "building",
    "bus",
    "car",
    "cow",
    "crosswalk",
    "desert",
    "door",
    "fence",
    "field",
    "grass",
    "moon",
    "mountain",
    "person",
    "plant",
    "pole",
    "river",
    "road",
    "rock",
    "sand",
    "sea",
    "sidewalk",
    "sign",
    "sky",
    "staircase",
    "streetlight",
    "sun",
    "tree",
    "window",
]
LMO_VAL = ["coast_arnat59", "forest_natu29", "mountain_natu568", "street_urb521"]
LMO_TRAIN = [
    "forest_for78",
    "insidecity_art1135",
    "mountain_land179",
    "opencountry_urb969",
    "street_a205062",
    "tallbuilding_art360",
]
LMO_UNLABELED = ["highway_bost181", "street_urb506"]  # officially in no split


def lmo_tree(folder, rng, *, v73=False):
    """33 classes on 256x256 pictures; `S` is uint8 in some files and double in others."""
    truth = {"train": {}, "val": {}}
    for number, name in enumerate(sorted(LMO_TRAIN + LMO_VAL + LMO_UNLABELED)):
        picture = jpeg_bytes(rng, 256, 256)
        raw = patchwork(rng, 256, 256, np.arange(34), block=32 - number)
        if name in LMO_UNLABELED:
            raw = np.zeros((256, 256), int)
        write(folder / "Images" / LMO_FOLDER / f"{name}.jpg", picture)
        save_lmo(folder / "SemanticLabels" / LMO_FOLDER / f"{name}.mat", raw, number, v73)
        geometry = patchwork(rng, 256, 256, np.array([-1, 1, 2, 3]), block=40).astype(np.int16)
        save_mat(
            folder / "GeoLabels" / LMO_FOLDER / f"{name}.mat",
            {"S": geometry, "names": cell_column(["sky", "horizontal", "vertical"])},
            v73=v73,
        )
        if name not in LMO_UNLABELED:
            truth["val" if name in LMO_VAL else "train"][name] = picture, lmo_ids(raw)
    lines = [f"{LMO_FOLDER}\\{name}.jpg" for name in LMO_VAL]
    write_list(folder / "TestSet1.txt", lines, end="\r\n")
    return truth


def save_lmo(path, raw, number, v73):
    """In turn: bytes, doubles, doubles stored as bytes (v5 only), bytes not deflated."""
    names = cell_column(LMO_NAMES)
    if number % 4 == 2 and not v73:
        save_narrow_double(path, "S", raw, {"names": names})
        return
    kind = np.float64 if number % 4 in (1, 2) else np.uint8
    save_mat(path, {"S": raw.astype(kind), "names": names}, v73=v73, compress=number % 4 != 3)


def lmo_ids(raw):
    expected = np.full(raw.shape, IGNORE, np.uint8)
    for number in range(1, len(LMO_NAMES) + 1):
        expected[raw == number] = number - 1
    return expected


# ------------------------------------------------------------------------------ PASCAL Context

# Class names in the order of the 59 list, and their numbers in the 459 list, which calls
# diningtable, clothes and bedcloth: table, cloth and bedclothes.
CONTEXT_NUMBERS = {
    "aeroplane": 2,
    "bicycle": 23,
    "bird": 25,
    "boat": 31,
    "bottle": 34,
    "bus": 45,
    "car": 59,
    "cat": 65,
    "chair": 72,
    "cow": 98,
    "diningtable": 397,
    "dog": 113,
    "horse": 207,
    "motorbike": 258,
    "person": 284,
    "pottedplant": 308,
    "sheep": 347,
    "sofa": 368,
    "train": 416,
    "tvmonitor": 427,
    "bag": 9,
    "bed": 18,
    "bench": 22,
    "book": 33,
    "building": 44,
    "cabinet": 46,
    "ceiling": 68,
    "clothes": 80,
    "computer": 85,
    "cup": 104,
    "door": 115,
    "fence": 144,
    "floor": 158,
    "flower": 159,
    "food": 162,
    "grass": 187,
    "ground": 189,
    "keyboard": 220,
    "light": 232,
    "mountain": 259,
    "mouse": 260,
    "curtain": 105,
    "platform": 296,
    "sign": 355,
    "plate": 295,
    "road": 324,
    "rock": 326,
    "shelves": 349,
    "sidewalk": 354,
    "sky": 360,
    "snow": 366,
    "bedcloth": 19,
    "track": 415,
    "tree": 420,
    "truck": 424,
    "wall": 440,
    "water": 445,
    "window": 454,
    "wood": 458,
}
CONTEXT_ALIASES = {"diningtable": "table", "clothes": "cloth", "bedcloth": "bedclothes"}

# The 459 names in order.
CONTEXT_NAMES = listed("""
    accordion aeroplane air_conditioner antenna artillery ashtray atrium baby_carriage bag ball
    balloon bamboo_weaving barrel baseball_bat basket basketball_backboard bathtub bed bedclothes
    beer bell bench bicycle binoculars bird bird_cage bird_feeder bird_nest blackboard board boat
    bone book bottle bottle_opener bowl box bracelet brick bridge broom brush bucket building bus
    cabinet cabinet_door cage cake calculator calendar camel camera camera_lens can candle
    candle_holder cap car card cart case casette_recorder cash_register cat cd cd_player ceiling
    cell_phone cello chain chair chessboard chicken chopstick clip clippers clock closet cloth
    clothes_tree coffee coffee_machine comb computer concrete cone container control_booth
    controller cooker copying_machine coral cork corkscrew counter court cow crabstick crane crate
    cross crutch cup curtain cushion cutting_board dais disc disc_case dishwasher dock dog dolphin
    door drainer dray drink_dispenser drinking_machine drop drug drum drum_kit duck dumbbell
    earphone earrings egg electric_fan electric_iron electric_pot electric_saw electronic_keyboard
    engine envelope equipment escalator exhibition_booth extinguisher eyeglass fan faucet
    fax_machine fence ferris_wheel fire_extinguisher fire_hydrant fire_place fish fish_tank fishbowl
    fishing_net fishing_pole flag flagstaff flame flashlight floor flower fly foam food footbridge
    forceps fork forklift fountain fox frame fridge frog fruit funnel furnace game_controller
    game_machine gas_cylinder gas_hood gas_stove gift_box glass glass_marble globe glove goal
    grandstand grass gravestone ground guardrail guitar gun hammer hand_cart handle handrail hanger
    hard_disk_drive hat hay headphone heater helicopter helmet holder hook horse
    horse-drawn_carriage hot-air_balloon hydrovalve ice inflator_pump ipod iron ironing_board jar
    kart kettle key keyboard kitchen_range kite knife knife_block ladder ladder_truck ladle laptop
    leaves lid life_buoy light light_bulb lighter line lion lobster lock machine mailbox mannequin
    map mask mat match_book mattress menu metal meter_box microphone microwave mirror missile model
    money monkey mop motorbike mountain mouse mouse_pad musical_instrument napkin net newspaper oar
    ornament outlet oven oxygen_bottle pack pan paper paper_box paper_cutter parachute parasol
    parterre patio pelage pen pen_container pencil person photo piano picture pig pillar pillow pipe
    pitcher plant plastic plate platform player playground pliers plume poker poker_chip pole
    pool_table postcard poster pot pottedplant printer projector pumpkin rabbit racket radiator
    radio rail rake ramp range_hood receiver recorder recreational_machines remote_control road
    robot rock rocket rocking_horse rope rug ruler runway saddle sand saw scale scanner scissors
    scoop screen screwdriver sculpture scythe sewer sewing_machine shed sheep shell shelves shoe
    shopping_cart shovel sidecar sidewalk sign signal_light sink skateboard ski sky sled slippers
    smoke snail snake snow snowmobiles sofa spanner spatula speaker speed_bump spice_container spoon
    sprayer squirrel stage stair stapler stick sticky_note stone stool stove straw stretcher sun
    sunglass sunshade surveillance_camera swan sweeper swim_ring swimming_pool swing switch table
    tableware tank tap tape tarp telephone telephone_booth tent tire toaster toilet tong tool
    toothbrush towel toy toy_car track train trampoline trash_bin tray tree tricycle tripod trophy
    truck tube turtle tvmonitor tweezers typewriter umbrella unknown vacuum_cleaner vending_machine
    video_camera video_game_console video_player video_tape violin wakeboard wall wallet wardrobe
    washing_machine watch water water_dispenser water_pipe water_skate_board watermelon whale wharf
    wheel wheelchair window window_blinds wineglass wire wood wool
""")

CONTEXT_SIZES = {
    "train": {
        "2008_000008": (37, 53),
        "2008_000015": (61, 35),
        "2008_000019": (33, 67),
        "2008_000023": (49, 51),
        "2008_000028": (71, 31),
    },
    "val": {
        "2008_000002": (53, 37),
        "2008_000003": (35, 59),
        "2008_000007": (63, 45),
        "2008_000009": (31, 73),
    },
}
CONTEXT_WITHOUT = {  # listed in Main, pictured, and never annotated: no part of the set
    "train": ["2008_000033", "2008_000036"],
    "val": ["2008_000016", "2008_000021"],
}


def context_tree(folder, rng, *, background=False, v73=False):
    """VOC 2010 in `folder`/VOCdevkit; trainval and labels.txt beside it."""
    voc = folder / "VOCdevkit/VOC2010"
    common = np.array(list(CONTEXT_NUMBERS.values()))
    values = np.concatenate([common, np.arange(1, 460)])  # each of the 59 is twice as frequent
    truth = {}
    for split, sizes in CONTEXT_SIZES.items():
        truth[split] = {}
        for number, (name, (height, width)) in enumerate(sizes.items()):
            picture = jpeg_bytes(rng, height, width)
            raw = patchwork(rng, height, width, values, block=2).astype(np.uint16)
            write(voc / f"JPEGImages/{name}.jpg", picture)
            labels = folder / f"trainval/{name}.mat"
            save_mat(labels, {"LabelMap": raw}, v73=v73, compress=number % 2 == 0)
            truth[split][name] = picture, context_ids(raw, background=background)
        for name in CONTEXT_WITHOUT[split]:
            write(voc / f"JPEGImages/{name}.jpg", jpeg_bytes(rng, 41, 47))
        ids = sorted([*sizes, *CONTEXT_WITHOUT[split]])
        write_list(voc / f"ImageSets/Main/{split}.txt", ids)
        # What else the archive has: the lists of one class, and the few ids with VOC's own masks.
        write_list(voc / f"ImageSets/Main/aeroplane_{split}.txt", [f"{name} -1" for name in ids])
        write_list(voc / f"ImageSets/Segmentation/{split}.txt", ids[:2])
    write_list(
        folder / "labels.txt",
        [f"{number}: {name}" for number, name in enumerate(CONTEXT_NAMES, start=1)],
    )
    return truth


def context_ids(raw, *, background):
    """59 classes and ignore, or background = 0 and the 59 behind it."""
    expected = np.full(raw.shape, 0 if background else IGNORE, np.uint8)
    for place, number in enumerate(CONTEXT_NUMBERS.values()):
        expected[raw == number] = place + 1 if background else place
    return expected


# ---------------------------------------------------------------------------- SBD, beside VOC

# Every kind of overlap. Only the ids in VOC_LISTS have a mask of VOC's own.
VOC_ALONE = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033", "2007_000042"]}
SBD_ALONE = {
    "train": ["2008_000002", "2008_000003", "2008_000007", "2008_000023"],
    "val": ["2008_000008", "2008_000026", "2008_000041"],
}
TRAIN_IN_BOTH = ["2008_000015", "2008_000019"]
VOC_TRAIN_SBD_VAL = ["2008_000028"]
VAL_IN_BOTH = ["2008_000009", "2008_000073"]
VOC_VAL_SBD_TRAIN = ["2008_000016"]

VOC_LISTS = {
    "train": [*VOC_ALONE["train"], *TRAIN_IN_BOTH, *VOC_TRAIN_SBD_VAL],
    "val": [*VOC_ALONE["val"], *VAL_IN_BOTH, *VOC_VAL_SBD_TRAIN],
}
SBD_LISTS = {
    "train": [*SBD_ALONE["train"], *TRAIN_IN_BOTH, *VOC_VAL_SBD_TRAIN],
    "val": [*SBD_ALONE["val"], *VAL_IN_BOTH, *VOC_TRAIN_SBD_VAL],
}
NOWHERE = "2008_000001"  # a picture of VOC that no list names


def voc_palette():
    """VOC's color map: bits 0, 1, 2 of an id are the high bits of red, green, blue, and so on."""
    colors = []
    for value in range(256):
        color = [0, 0, 0]
        for step in range(8):
            for channel in range(3):
                color[channel] |= (value >> (3 * step + channel) & 1) << (7 - step)
        colors += color
    return colors


def save_mask(path, ids, *, palette):
    """A label PNG of mode P with VOC's 256 colors, or of mode L."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = ids.shape[1], ids.shape[0]
    picture = Image.frombytes("P" if palette else "L", size, ids.astype(np.uint8).tobytes())
    if palette:
        picture.putpalette(voc_palette())
    picture.save(path)


def with_void(ids):
    """VOC's own masks: 255 where an object ends."""
    masked = ids.copy()
    masked[:, 1:][ids[:, 1:] != ids[:, :-1]] = IGNORE
    masked[1:][ids[1:] != ids[:-1]] = IGNORE
    return masked


def object_map(rng, shape):
    return patchwork(rng, *shape, np.arange(21), block=6).astype(np.uint8)


def voc_tree(folder, rng):
    """VOC 2012 with the pictures of SBD; returns {id: jpeg}, {id: (height, width)}, {id: mask}."""
    root = folder / "VOCdevkit/VOC2012"
    own = VOC_LISTS["train"] + VOC_LISTS["val"]
    pictures, shapes, masks = {}, {}, {}
    for name in sorted({*own, *SBD_LISTS["train"], *SBD_LISTS["val"], NOWHERE}):
        # Both odd and never the same.
        shapes[name] = tuple(int(side) for side in rng.permutation(np.arange(25, 47, 2))[:2])
        pictures[name] = jpeg_bytes(rng, *shapes[name])
        write(root / f"JPEGImages/{name}.jpg", pictures[name])
        if name in own:
            masks[name] = with_void(object_map(rng, shapes[name]))
            save_mask(root / f"SegmentationClass/{name}.png", masks[name], palette=True)
    for split, ids in {**VOC_LISTS, "trainval": own}.items():
        write_list(root / f"ImageSets/Segmentation/{split}.txt", sorted(ids))
    return pictures, shapes, masks


def sbd_tree(folder, rng, *, v73=False):
    """VOC 2012 in `folder`/VOCdevkit, SBD in `folder`/benchmark_RELEASE."""
    pictures, shapes, own = voc_tree(folder, rng)
    dataset = folder / "benchmark_RELEASE/dataset"
    masks = {}
    for split, ids in SBD_LISTS.items():
        write_list(dataset / f"{split}.txt", sorted(ids))
        for number, name in enumerate(sorted(ids)):
            masks[name] = object_map(rng, shapes[name])
            write(dataset / f"img/{name}.jpg", pictures[name])
            save_mat(
                dataset / f"cls/{name}.mat",
                {"GTcls": gt_cls(masks[name])},
                v73=v73,
                compress=number % 2 == 0,
            )
    return voc_truth(pictures, own, masks)


def gt_cls(ids):
    """SBD's 1 x 1 struct: an edge map for each of the 20 classes, the label map, what is in it."""
    edge = with_void(ids) == IGNORE
    return {
        "Boundaries": cell_column([sparse.csc_array(edge & (ids == c)) for c in range(1, 21)]),
        "Segmentation": ids,
        "CategoriesPresent": np.unique(ids[ids > 0]).astype(np.float64)[:, None],
    }


def ready_aug_folder(folder, rng, *, palette=False, disagree=False):
    """VOC 2012 with `folder`/SegmentationClassAug: the masks of train_aug and of val as PNGs.

    The common download is gray (mode L). There VOC's ids have VOC's own masks; with `disagree`
    they have others.
    """
    pictures, shapes, own = voc_tree(folder, rng)
    masks = {}
    for number, name in enumerate(sorted({*own, *SBD_LISTS["train"], *SBD_LISTS["val"]})):
        masks[name] = object_map(rng, shapes[name])
        if number % 3 == 0:
            masks[name] = with_void(masks[name])
        if name in own and not disagree:
            masks[name] = own[name]
        save_mask(folder / f"SegmentationClassAug/{name}.png", masks[name], palette=palette)
    return voc_truth(pictures, own, masks)


def voc_truth(pictures, own, added):
    """train_aug is everything with a mask except VOC's val; VOC's own mask wins."""
    truth = {
        split: {name: (pictures[name], own[name]) for name in VOC_LISTS[split]}
        for split in VOC_LISTS
    }
    truth["train_aug"] = {}
    for name in [*VOC_LISTS["train"], *added]:
        if name not in VOC_LISTS["val"]:
            mask = own[name] if name in own else added[name]
            truth["train_aug"][name] = pictures[name], mask
    return truth

"""A miniature PASCAL Context, in the official layout.

A builder writes a tree below `folder` and returns its targets: {split: {id: (jpeg, expected)}}, the
picture's bytes and the label as uint8 (height, width) class ids, 255 = ignore. They come from the
raw values as they were drawn, and are never read back from a file.
"""

import numpy as np
from helpers.matlab_files import IGNORE, jpeg_bytes, listed, patchwork, save_mat, write, write_list

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
    targets = {}
    for split, sizes in CONTEXT_SIZES.items():
        targets[split] = {}
        for number, (name, (height, width)) in enumerate(sizes.items()):
            picture = jpeg_bytes(rng, height, width)
            raw = patchwork(rng, height, width, values, block=2).astype(np.uint16)
            write(voc / f"JPEGImages/{name}.jpg", picture)
            labels = folder / f"trainval/{name}.mat"
            save_mat(labels, {"LabelMap": raw}, v73=v73, compress=number % 2 == 0)
            targets[split][name] = picture, context_ids(raw, background=background)
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
    return targets


def context_ids(raw, *, background):
    """59 classes and ignore, or background = 0 and the 59 behind it."""
    expected = np.full(raw.shape, 0 if background else IGNORE, np.uint8)
    for place, number in enumerate(CONTEXT_NUMBERS.values()):
        expected[raw == number] = place + 1 if background else place
    return expected

"""The YAML of data files, against PyYAML where it is, and what is refused with its line."""

from pathlib import Path

import pytest

from psp.annotations.yaml_subset import read_yaml
from psp.errors import PspError

FILES = [
    "# a comment\npath: ../datasets/coco8-seg # root\ntrain: images/train\nval:\ntest: # none\n\n"
    "names:\n  0: person\n  1: \"traffic light\"\n  2: 'don''t # stop'\n  3: C#\n",
    "train: ../train/images\nnc: 3\nnames: ['a', \"b, c\", d e]\n\nroboflow:\n  workspace: x\n"
    "  url: https://universe.roboflow.com/x/p/dataset/1\n",
    "---\nnames:\n- a\n- b\ntrain: [a, b,\n  c]\nnc: 2\n",
    "names: {0: a, 1: 'b', 2: c d}\ndownload: |\n  import os\n  # x\n  for k in v: print(k)\n\n"
    "train: y\n",
    "names:\n  - a\n  - b # c\n  -   c#d\ntrain: /path with blanks/x\n",
    "kpt_shape: [17, 3]\nnames: {\n 0: a,\n 1: b,\n }\n...\n",
    'names: []\n"quoted \\"key\\"": C:\\data\\images\n',
]


def as_texts(value):
    if isinstance(value, dict):
        return {str(key): as_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_texts(inner) for inner in value]
    return None if value is None else str(value)


@pytest.mark.parametrize("text", FILES)
def test_it_reads_what_pyyaml_reads(text):
    yaml = pytest.importorskip("yaml")
    assert read_yaml(text, Path("data.yaml")) == as_texts(yaml.safe_load(text))


def test_names_stay_texts():
    values = read_yaml("names: [no, 1.50, 0x1f, 2020-01-01]\nnc: 4", Path("data.yaml"))
    assert values == {"names": ["no", "1.50", "0x1f", "2020-01-01"], "nc": "4"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("names: [a, b", 1),
        ("train: x\nnames: &all [a]", 2),
        ("train: x\nnames: *all", 2),
        ("a: 1\nnames: !!str x", 2),
        ("a: 1\n\n\tb: 2", 3),
        ("a: 1\na: 2", 2),
        ("just words", 1),
        ("a: 1\n    b: 2", 2),
        ("a: 'b", 1),
        ('a: "b\\q"', 1),
        ("a: b: c", 1),
        ("names:\n  - - a", 2),
        ("names:\n  - a: b", 2),
        ("a: [b]]", 1),
        ("a: [b c: d]", 1),
        ("a: {b}", 1),
        ("names:\n  0: a\n 1: b", 3),
        ("<<: {a: b}", 1),
        ("? a", 1),
        ("a: " + "[" * 30 + "]" * 30, 1),
        ("a: " + "x" * 10**5, 1),
        ("- a\n- b", 1),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(text, line):
    with pytest.raises(PspError, match=rf"data\.yaml: line {line}:"):
        read_yaml(text, Path("data.yaml"))

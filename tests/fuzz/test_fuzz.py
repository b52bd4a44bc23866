"""Every way of breaking a data set, once: refused by name, or prepared as the files have it.

`PYTHONPATH=tests python tests/fuzz/fuzz.py` runs many more of them. The number in a failure's
first line gives the variant again: --only NUMBER
"""

import pytest
from fuzz.fuzz import BUILDERS, Fuzzer, judge_shards
from helpers.damage import DAMAGES

SEED = 0


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    made = Fuzzer(tmp_path_factory.mktemp("fuzz"), SEED)
    yield made
    made.worker.close()


@pytest.mark.parametrize(
    "number", range(len(DAMAGES)), ids=[name.replace(" ", "-") for name in DAMAGES]
)
def test_what_is_broken_is_refused_by_name_or_harmless(fuzzer, number):
    result = fuzzer.variant(number)
    assert not result.failure, str(result)


@pytest.mark.parametrize("kind", BUILDERS)
def test_the_whole_trees_are_prepared(fuzzer, tmp_path, kind):
    """Or a refusal of the broken ones would say nothing."""
    tree = fuzzer.tree(kind)
    answer = fuzzer.worker.convert(tree, tmp_path / "out", {})
    assert (answer["end"], answer["message"]) == ("prepared", "")
    assert judge_shards(answer, tree, tmp_path / "out") is None

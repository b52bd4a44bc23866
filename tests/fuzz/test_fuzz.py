"""Every way to break a data set, once: refused with the file's name, or prepared correctly.

`PYTHONPATH=tests python -m fuzz.fuzz` runs many more. To repeat a variant, give the number in
a failure's first line: --only NUMBER
"""

import pytest
from fuzz.fuzz import Fuzzer
from fuzz.judge import judge_shards
from fuzz.trees import BUILDERS
from helpers.damage import DAMAGES

SEED = 0

pytestmark = pytest.mark.slow  # up to 2 s each, about a minute together


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    made = Fuzzer(tmp_path_factory.mktemp("fuzz"), SEED)
    yield made
    made.worker.close()


@pytest.mark.parametrize(
    "number", range(len(DAMAGES)), ids=[name.replace(" ", "-") for name in DAMAGES]
)
def test_a_broken_tree_is_refused_by_name_or_harmless(fuzzer, number):
    result = fuzzer.variant(number)
    assert not result.failure, str(result)


@pytest.mark.parametrize("kind", BUILDERS)
def test_the_undamaged_trees_are_prepared(fuzzer, tmp_path, kind):
    """Otherwise, that the broken ones are refused would prove nothing."""
    tree = fuzzer.tree(kind)
    answer = fuzzer.worker.convert(tree, tmp_path / "out", {})
    assert (answer["end"], answer["message"]) == ("prepared", "")
    assert judge_shards(answer, tree, tmp_path / "out") is None

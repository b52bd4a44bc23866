"""psp verify: check that a folder of shards is intact."""

import json

from psp.cli.options import Debug, Json, Part, Quiet, Shards, Workers, processes
from psp.errors import PspError
from psp.ranks import own_share, rank_share


def verify_command(
    shards: Shards,
    workers: Workers = None,
    part: Part = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check every byte and every label value of a folder of shards: psp verify data/voc2012"""
    from psp.cli.console import listening, say
    from psp.data.find import find_shards
    from psp.data.verify import verify

    shards, share = find_shards(shards), own_share(part)
    with listening("verifying", quiet or not rank_share().first) as report:
        samples, problems = verify(shards, processes(workers), report, share)
    whose = f"part {share.number} of {share.total}, " if share.total > 1 else ""
    if as_json:
        print(json.dumps({"samples": samples, "problems": problems}, ensure_ascii=False))
    elif not problems:
        print(f"{shards}: {whose}{samples} samples, all intact")
    if problems:
        for problem in problems[1:]:
            say(problem)
        more = f" (and {len(problems) - 1} more problems, listed above)" if problems[1:] else ""
        raise PspError(problems[0] + more)

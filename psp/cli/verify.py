"""psp verify: check that a folder of shards is intact."""

import json

from psp.cli.options import Debug, Json, Quiet, Shards, Workers
from psp.errors import PspError


def verify_command(
    shards: Shards,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check every byte and every label value of a folder of shards: psp verify data/voc2012"""
    from psp.cli.console import listening, say
    from psp.data.find import find_shards
    from psp.data.verify import verify
    from psp.workers import cores

    shards = find_shards(shards)
    with listening("verifying", quiet) as report:
        samples, problems = verify(shards, workers or cores(), report)
    if as_json:
        print(json.dumps({"samples": samples, "problems": problems}, ensure_ascii=False))
    elif not problems:
        print(f"{shards}: {samples} samples, all intact")
    if problems:
        for problem in problems[1:]:
            say(problem)
        more = f" (and {len(problems) - 1} more problems, listed above)" if problems[1:] else ""
        raise PspError(problems[0] + more)

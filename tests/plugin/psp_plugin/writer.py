"""A writer of psp predict: each picture's mean color as a file, and all of them as one page."""

import json

from psp.predict.writers.writer import Prediction, Results, Writer


def write(prediction: Prediction) -> bytes:
    """Return the mean red, green and blue as JSON."""
    return json.dumps([round(float(mean)) for mean in prediction.image.mean((0, 1))]).encode()


def collect(results: Results) -> bytes:
    """Return a JSON object: name to mean color."""
    return json.dumps(
        {
            record["name"]: json.loads(
                (results.out / "mean-colors" / f"{record['name']}.json").read_bytes()
            )
            for record in results
        }
    ).encode()


MEAN_COLORS = Writer(
    name="mean-colors",
    folder="mean-colors",
    suffix=".json",
    write=write,
    file="mean-colors.json",
    collect=collect,
)

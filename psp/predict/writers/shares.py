"""A table for spreadsheets: the share of each class in each picture."""

import csv
import io

from psp.predict.writers.writer import Results, Writer


def collect(results: Results) -> bytes:
    """Return a CSV file with a row per picture, and a column per class with its share, 0 to 1.

    It begins with a byte order mark: without one, Excel does not read it as UTF-8. Bytes of file
    names that are no UTF-8 are escaped.
    """
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["name", "height", "width", *results.classes])
    for record in results:
        shares = [f"{record['shares'].get(name, 0):.6f}" for name in results.classes]
        table.writerow([record["name"], record["height"], record["width"], *shares])
    return text.getvalue().encode("utf-8-sig", "backslashreplace")


SHARES = Writer(name="shares", file="shares.csv", collect=collect)

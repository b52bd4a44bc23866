"""What decides a picture's files besides the picture, written into settings.json of the results."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.headers import read_header
from psp.model.procedure import LATER
from psp.render import OverlayStyle

SETTINGS = "settings.json"
FORMAT, VERSION = "psp-predictions", 1


@dataclass(frozen=True)
class Settings:
    """The weights and settings of a call, and what is worth knowing about them."""

    weights: str
    sha256: str  # of the weights
    procedure: Mapping[str, Any]  # a `Procedure` as a dict
    precision: str
    dataset: str
    step: int
    classes: tuple[str, ...]
    overlay: OverlayStyle | None = None  # None: nothing is drawn, so any will do

    def in_folder(self, stored: Mapping[str, Any] | None) -> "Settings":
        """Return these settings with the overlays' style of a folder, where this call draws none.

        `stored` is its settings.json, or None.
        """
        if self.overlay is not None or stored is None:
            return self
        return replace(self, overlay=_style(stored.get("deciding", {}).get("overlay")))

    @property
    def deciding(self) -> dict[str, Any]:
        """Everything that a result depends on, as plain JSON types."""
        options = {  # so that the hash of settings from before there were these stays what it was
            key: value for key, value in self.procedure.items() if LATER.get(key, ...) != value
        }
        name = options.pop("name")
        options.pop("changed", None)
        values = {"weights": self.sha256, "procedure": name, **options, "precision": self.precision}
        if self.overlay and not self.overlay.is_default:  # likewise
            values["overlay"] = [self.overlay.name, self.overlay.strength]
        return dict(json.loads(json.dumps(values)))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a hash of `deciding`."""
        deciding = self.deciding
        # psp 0.1.0 called it protocol. The hash still uses that word, so that psp continues in the
        # folders of 0.1.0.
        deciding["protocol"] = deciding.pop("procedure")
        text = json.dumps([VERSION, deciding], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of settings.json."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "weights": self.weights,
            "dataset": self.dataset,
            "step": self.step,
            "classes": list(self.classes),
            "deciding": self.deciding,
        }

    def differences(self, stored: Mapping[str, Any]) -> str:
        """Say what differs from the `deciding` of another settings.json: "crop 41, now 89"."""
        # psp 0.1.0 called the procedure protocol.
        theirs = {"procedure" if key == "protocol" else key: stored[key] for key in stored}
        theirs, ours = {**LATER, **theirs}, {**LATER, **self.deciding}
        for values in (theirs, ours):
            values.setdefault("overlay", _DEFAULT_OVERLAY)
        return ", ".join(
            key if key == "weights" else f"{key} {_show(theirs.get(key))}, now {_show(ours[key])}"
            for key in ours
            if theirs.get(key) != ours[key]
        )


def read_settings(folder: Path) -> dict[str, Any] | None:
    """Return a folder's settings.json, or None if it has none that psp predict wrote."""
    path = folder / SETTINGS
    if not path.is_file():
        return None
    try:
        value = read_header(path)
        value.object("deciding", {})
    except PspError:  # another program's
        return None
    return value.value if value.get("format", None) == FORMAT else None


def _style(value: Any) -> OverlayStyle | None:
    """Return the style that a settings.json names; None if it names none that psp wrote."""
    try:
        return OverlayStyle(*value)
    except (TypeError, PspError):
        return None


_DEFAULT_OVERLAY = [OverlayStyle().name, OverlayStyle().strength]


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)

"""The overlay videos of psp predict, played by a browser."""

import numpy as np
import pytest

from psp.images.video import WebmWriter

STATE = """() => new Promise(done => {
  const video = document.querySelector("video");
  const state = () => done([video.readyState, video.duration, video.videoWidth, video.videoHeight]);
  if (video.readyState >= 4) state(); else video.oncanplaythrough = state;
  video.onerror = () => done([video.error.message]);
})"""


@pytest.mark.browser
def test_a_browser_plays_it(opened, tmp_path):
    writer = WebmWriter(tmp_path / "overlay.webm", (48, 64), 10.0)
    for number in range(8):
        writer.write(np.full((48, 64, 3), 30 * number, np.uint8))
    writer.close()
    (tmp_path / "page.html").write_text('<video src="overlay.webm" muted></video>')
    with opened(tmp_path / "page.html") as tab:
        ready, duration, *size = tab.evaluate(STATE)
        assert ready >= 3 and size == [64, 48]
        assert duration == pytest.approx(0.8, abs=0.11)

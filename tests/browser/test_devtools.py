"""tests/browser/test_devtools.py -- the driver of the browser cleans up behind it."""

import os
import tempfile

from devtools import Browser


def test_a_browser_leaves_nothing_behind(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)

        with Browser() as browser:
            browser.open("about:blank")

        assert not os.listdir(folder)

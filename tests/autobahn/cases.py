"""tests/autobahn/cases.py -- every case under its number; called, it is made."""

from autobahn import cases_close, cases_deflate, cases_frames, cases_sizes, cases_text

CASES = {**cases_frames.CASES, **cases_text.CASES, **cases_close.CASES, **cases_sizes.CASES, **cases_deflate.CASES}

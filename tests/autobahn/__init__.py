"""tests/autobahn -- the cases of the Autobahn|Testsuite, under its numbers, in our own words.

`verdicts.py` says which cases there are and which verdicts are good; `cases_*.py` state them, a module
for each kind; `fuzzer.py` plays one against a gateway. tools/autobahn runs the suite itself.
"""

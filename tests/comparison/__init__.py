"""PyMongo and this package side by side: the same calls, on the same MongoDB.

`cases.py` has the calls, once, awaited. `harness.py` runs a call with either library and
says in which way the two differ: in the result or the error, in what is stored
afterwards, in the commands that left. Two variables help with a look at it:

- `COMPARE_WITH=pymongo` puts PyMongo on both sides: does the suite itself hold?
- `COMPARE_COMMANDS=no` leaves the commands out.
"""

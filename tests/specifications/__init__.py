"""MongoDB's specification tests, in the unified test format, with this package and with PyMongo.

The format: https://github.com/mongodb/specifications/blob/master/source/unified-test-format/unified-test-format.md
"""

"""Tests of what is published: wheels and the source distribution. They run as programs, with nothing but Python."""

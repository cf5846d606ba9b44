"""Tools for development: the embedded stack of ``make run`` and ``make demo``, generators, checks. Not in the image."""

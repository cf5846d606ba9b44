"""What runs on a laptop only: the embedded stack of ``make run`` and ``make demo``. Not in the image."""

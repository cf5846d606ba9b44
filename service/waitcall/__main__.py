"""Entry of ``python -m waitcall``, which is the ``waitcall`` command."""

from waitcall.cli import main

if __name__ == "__main__":
    main(prog_name="waitcall")

"""`python -m kit.cli`: the same as the command `kit`."""

from kit.cli import main

if __name__ == "__main__":
    main(prog_name="kit")

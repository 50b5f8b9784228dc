"""`python -m services.cli`: the same as the command `loganalyzer`."""

from services.cli import main

if __name__ == "__main__":
    main(prog_name="loganalyzer")

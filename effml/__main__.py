"""`python -m effml` is the `effml` command."""

from effml.cli.main import main

if __name__ == "__main__":
    main()

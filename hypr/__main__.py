"""``python -m hypr``: the command line where no console script is installed."""

from hypr.cli import main

if __name__ == "__main__":
    main()

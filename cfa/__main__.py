"""``python -m cfa`` is ``cfa``."""

from cfa.cli import main

if __name__ == "__main__":
    main()

"""``python -m cfa`` is ``cfa``."""

from cfa.search_path import forget_working_folder

if __name__ == "__main__":
    forget_working_folder()  # before anything is imported that could lie there
    from cfa.commands import main

    main()

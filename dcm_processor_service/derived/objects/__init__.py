"""The kinds of derived objects: a module or a package for each."""

"""The kinds of derived objects, a module each."""

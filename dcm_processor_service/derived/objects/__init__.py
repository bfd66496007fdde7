"""The kinds of derived objects, a module or a room each."""

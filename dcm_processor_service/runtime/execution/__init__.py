"""How a callback is found, called and ended, and how its result is passed on."""

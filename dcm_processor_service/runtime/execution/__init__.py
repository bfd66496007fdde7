"""How a callback runs: found, called, ended, and its result handed on."""

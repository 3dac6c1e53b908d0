"""How the outside asks: the command line and HTTP."""

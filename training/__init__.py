"""How the bundled small models were made; README.md beside this file has the commands in order."""

"""How were the bundled small models made? README.md in this folder has the commands in order."""

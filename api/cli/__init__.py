"""What can be typed? One file for each group of commands."""

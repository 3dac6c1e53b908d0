"""Which commands does `winnow` have? One file for each group of commands."""

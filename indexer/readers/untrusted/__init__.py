"""What does this file hold, if nothing of it can be trusted? `parsed_files` asks, the rest runs in the sandbox."""

"""Which process replays which golden set, and when?"""

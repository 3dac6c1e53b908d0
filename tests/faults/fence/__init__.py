"""Is anything late published, or anything acknowledged lost, when a writer pauses and another one takes over?"""

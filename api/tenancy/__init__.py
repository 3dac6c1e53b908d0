"""Who asks, what may they do, and how much have they used?"""

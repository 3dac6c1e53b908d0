"""Where is a corpus embedded: in this process, or by workers of a cluster?"""

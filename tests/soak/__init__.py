"""Does a service stay as large as it is after a warm-up?"""

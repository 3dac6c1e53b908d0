"""What is really on the disk?"""

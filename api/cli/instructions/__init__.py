"""Which commands write, try and publish instructions?"""

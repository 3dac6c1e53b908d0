"""Which commands watch whether rankings move?"""

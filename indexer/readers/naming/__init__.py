"""Which fields of a record are its id, its text, its title and its address?"""

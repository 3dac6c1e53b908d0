"""Where are the files of a store, and what does that place promise?"""

"""Where in a large JSON or XML file are its records?"""

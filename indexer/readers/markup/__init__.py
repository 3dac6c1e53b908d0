"""Which sections, tables and code does this marked-up text have?"""

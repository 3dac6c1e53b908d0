"""How long does winnow take to start?"""

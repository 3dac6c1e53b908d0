"""How good are the orders of a judged collection, and is a difference chance?"""

"""How are model servers planned, started and watched?"""

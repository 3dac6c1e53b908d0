"""How are vLLM servers planned, started and watched?"""

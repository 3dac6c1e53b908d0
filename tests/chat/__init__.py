"""A scripted chat model, for the tests of conversations."""

"""Are the explanations right: do they depend on the detector, find what is there, and hold under change?"""

"""Are explanations right: do they depend on the detector, find what is there, hold up and stay faithful?"""

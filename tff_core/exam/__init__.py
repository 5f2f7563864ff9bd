"""Are explanations right: do they depend on the detector, find what is there, hold when pictures change?"""
